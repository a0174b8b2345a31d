"""Training as a user starts it: alone, in two processes, resumed, in bfloat16, and with what goes wrong."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from runs import ROOT, TINY, log_of, options, run_tool
from torch import nn


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Weights of a checkpoint, read by nothing but PyTorch's safe loader."""
    return torch.load(checkpoint, weights_only=True)['state_dict']


@pytest.fixture(scope='module')
def trained(motion, tmp_path_factory) -> Path:
    """Work dir of two epochs in one process."""
    work_dir = tmp_path_factory.mktemp('trained')
    run_tool('tools/train.py', TINY, '--work-dir', work_dir, *options(motion), anew=True)
    return work_dir


def test_a_run_resumed_between_epochs_ends_bit_for_bit_like_one_that_never_stopped(motion, trained, tmp_path):
    shutil.copy(trained / 'epoch_1.pth', tmp_path)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_1.pth'))
    more_workers = options(motion, **{'train_dataloader.num_workers': 2})
    run_tool('tools/train.py', TINY, '--resume', '--work-dir', tmp_path, *more_workers)
    assert 'resumed epoch: 1, iter: 4' in log_of(tmp_path)
    expected, got = weights(trained / 'epoch_2.pth'), weights(tmp_path / 'epoch_2.pth')
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    before = weights(trained / 'epoch_1.pth')
    assert not all(torch.equal(expected[key], before[key]) for key in expected)


def test_weights_alone_cannot_be_resumed_from(motion, trained, tmp_path):
    torch.save(dict(state_dict=weights(trained / 'epoch_1.pth')), tmp_path / 'weights.pth')
    words = ('--resume', tmp_path / 'weights.pth', '--work-dir', tmp_path / 'run')
    log = run_tool('tools/train.py', TINY, *words, *options(motion), fails=True)
    assert 'cannot resume from mmtsf weights: this file has no state of the optimizer; start from it with' in log


@pytest.mark.long
def test_two_processes_reach_what_one_reaches_at_the_same_global_batch(motion, tmp_path):
    still = {'model.backbone.drop_path_rate': 0.0, 'optim_wrapper.optimizer.type': 'SGD', 'lr': 0.05}
    still |= {'optim_wrapper.optimizer.weight_decay': 0.0}
    one, two = tmp_path / 'one', tmp_path / 'two'
    run_tool('tools/train.py', TINY, '--work-dir', one, *options(motion, **still))
    log = run_tool('tools/dist_train.sh', TINY, 2, '--work-dir', two, *options(motion, **still), anew=True)
    assert 'global batch 8 = 2 processes x 4 clips x 1 accumulated step' in log
    expected, got, start = (weights(p) for p in (one / 'epoch_2.pth', two / 'epoch_2.pth', one / 'epoch_1.pth'))
    moved = max((expected[key] - start[key]).abs().max() for key in expected)
    apart = max((expected[key] - got[key]).abs().max() for key in expected)
    assert moved > 1e-3
    assert apart < 1e-3 * moved


@pytest.mark.long
def test_accumulated_steps_equal_the_whole_batch(motion, tmp_path):
    config = tmp_path / 'still.py'  # the same learning rate, however many iterations there are
    config.write_text(
        f"_base_ = '{ROOT / TINY}'\n"
        "param_scheduler = dict(_delete_=True, type='ConstantLR', factor=1.0)\n"
        "optim_wrapper = dict(optimizer=dict(type='SGD'))\n"
    )
    still = {'model.backbone.drop_path_rate': 0.0, 'max_epochs': 1, 'lr': 0.1}
    for clips in (8, 2):
        changes = {**still, 'train_dataloader.batch_size': clips}
        log = run_tool('tools/train.py', config, '--work-dir', tmp_path / str(clips), *options(motion, **changes))
        assert f'global batch 8 = 1 process x {clips} clips x {8 // clips} accumulated step' in log
    whole, parts = (weights(tmp_path / f'{clips}/epoch_1.pth') for clips in (8, 2))
    assert max((whole[key] - parts[key]).abs().max() for key in whole) < 1e-5
    assert whole['cls_head.fc_cls.bias'].abs().max() > 1e-3  # it began at zero


def test_bfloat16_trains_on_a_cpu(motion, tmp_path):
    log = run_tool('tools/train.py', TINY, '--amp', '--work-dir', tmp_path, *options(motion, max_epochs=1))
    assert 'Epoch(val) [1]' in log_of(tmp_path)
    assert 'precision: bfloat16, weights in float32 (amp=bfloat16)' in log
    assert all(tensor.dtype == torch.float32 for tensor in weights(tmp_path / 'epoch_1.pth').values())


def test_bfloat16_computes_in_bfloat16():
    layer = nn.Linear(2, 2)
    wrapper = build_optim_wrapper(layer, dict(type='Bf16OptimWrapper', optimizer=dict(type='SGD', lr=0.1)))
    with wrapper.optim_context(layer):
        assert layer(torch.ones(1, 2)).dtype == torch.bfloat16


def test_a_checkpoint_carries_the_class_names_and_tells_its_model(trained):
    meta = torch.load(trained / 'epoch_2.pth', weights_only=True)['meta']
    assert meta['dataset_meta']['classes'] == ['left', 'left_then_right', 'right', 'right_then_left']
    assert meta['backbone']['attention'] == dict(type='DividedAttention')
    assert (meta['backbone']['num_heads'], meta['backbone']['num_layers']) == (2, 2)


def test_broken_videos_are_named_and_counted_and_many_of_them_end_the_run(motion, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(motion, data)
    broken = sorted(data.glob('train/left/*.mp4'))[:2]
    for video in broken:
        video.write_bytes(video.read_bytes()[:500])
    log = run_tool('tools/train.py', TINY, '--work-dir', tmp_path / 'run', *options(data, max_epochs=1))
    listed = (tmp_path / 'run/broken_videos.txt').read_text()
    assert all(f'{video}\tPyAV finds no video' in listed.replace(f'\t{video}: ', '\t') for video in broken)
    assert '2 broken videos were left out of training' in log
    strict = {'default_hooks.broken_videos.max_share': 0.01, 'default_hooks.broken_videos.min_seen': 8}
    log = run_tool('tools/train.py', TINY, '--work-dir', tmp_path / 'strict', *options(data, **strict), fails=True)
    assert 'videos drawn for training are broken, more than the share of 0.01' in log


@pytest.mark.parametrize(
    ('words', 'error'),
    [
        (['configs/none.py'], 'the config configs/none.py does not exist; those of the paper lie in configs/'),
        (
            [TINY, '--amp', 'float16', '--cfg-options', 'data.root={motion}'],
            'float16 needs a GPU, and there is none; use --amp bfloat16',
        ),
        ([TINY, '--cfg-options', 'data.root=/none'], "data.root is '/none', which is no folder; give one"),
        (['configs/timesformer_base_k400.py'], "data.root is 'data/kinetics400', which is no folder; give one"),
        ([TINY, '--resume', '/none.pth', '--cfg-options', 'data.root={motion}'], 'checkpoint /none.pth does not exist'),
    ],
)
def test_what_is_missing_is_named(words, error, motion, tmp_path):
    if torch.cuda.is_available() and 'float16' in words:
        pytest.skip('there is a GPU')
    words = [word.format(motion=motion) for word in words]
    assert error in run_tool('tools/train.py', *words, '--work-dir', tmp_path, fails=True)


def test_a_dry_run_tells_what_a_training_takes_and_leaves_nothing(motion, tmp_path):
    words = options(motion, **{'global_batch_size': 16, 'train_dataloader.batch_size': 4, 'max_epochs': 50})
    log = run_tool('tools/train.py', TINY, '--dry-run', '--work-dir', tmp_path / 'run', *words)
    assert 'global batch 16 = 1 process x 4 clips x 4 accumulated steps' in log
    megabytes = re.search(r'peak memory, main process: (\d+) of (\d+) MB', log)
    assert megabytes
    assert 100 < int(megabytes[1]) < int(megabytes[2])
    assert re.search(r'peak memory, the data worker: \d+ MB', log)
    assert float(re.search(r'clips a second: ([\d.]+)', log)[1]) > 0
    assert re.search(r'of the time waiting for data: \d+%', log)
    assert re.search(r'time to the end: \d:\d\d:\d\d for 400 iterations, without validation', log)
    assert not list(tmp_path.iterdir())
