"""FSDP2: what is shared out among processes trains, stops and resumes like what is whole in each."""

import os
from pathlib import Path

import pytest
import torch
from processes import STEADY, apart, start, train, wait_for
from runs import ROOT, TINY, log_of, options, run_tool

#: Its smallest gradients, nothing but rounding where exact ones are zero (a key's bias), must not become steps
ADAMW = {**STEADY, 'optim_wrapper.optimizer.type': 'AdamW', 'optim_wrapper.optimizer.eps': 1e-4, 'lr': 2e-3}
del ADAMW['optim_wrapper.optimizer.momentum']


def grad_norms(log: str) -> list[float]:
    return [float(line.split('grad_norm: ')[1].split()[0]) for line in log.splitlines() if 'grad_norm: ' in line]


@pytest.mark.parametrize(
    ('kind', 'fused'),
    [
        pytest.param(STEADY, True, id='SGD', marks=pytest.mark.long),
        pytest.param(ADAMW, True, id='AdamW', marks=pytest.mark.long),
        pytest.param(ADAMW, False, id='loop', marks=pytest.mark.long),
    ],
)
def test_shared_out_equals_whole_after_20_steps(kind, fused, motion, tmp_path):
    changes = {**kind, 'max_epochs': 5, 'default_hooks.logger.interval': 1, 'model.backbone.with_cp': fused}
    changes |= {'optim_wrapper.optimizer.fused': fused, 'optim_wrapper.clip_grad.max_norm': 5}
    for parallel in ('ddp', 'fsdp'):
        train(2, tmp_path / parallel, *options(motion, **changes, parallel=parallel))
    norms = {parallel: grad_norms(log_of(tmp_path / parallel)) for parallel in ('ddp', 'fsdp')}
    assert norms['fsdp'] == pytest.approx(norms['ddp'], abs=2e-4)  # of four decimals in the log
    assert len(norms['fsdp']) == 20
    assert max(norms['fsdp']) > 5  # clipped
    for epoch in (3, 5):
        files = [tmp_path / parallel / f'epoch_{epoch}.pth' for parallel in ('ddp', 'fsdp')]
        assert apart(*files) < 1e-5
        assert apart(*files, 'optimizer') < 1e-5
    whole, shared = (torch.load(file, weights_only=True) for file in files)
    assert list(whole['state_dict']) == list(shared['state_dict'])
    assert whole.keys() == shared.keys()
    assert whole['message_hub'].keys() == shared['message_hub'].keys()
    assert apart(tmp_path / 'ddp/epoch_3.pth', files[1]) > 1e-3  # it moved


FLOAT16 = {
    'optim_wrapper.type': 'AmpOptimWrapper',
    'optim_wrapper.loss_scale.init_scale': 2.0**23,  # the first gradients overflow
    'optim_wrapper.loss_scale.growth_interval': 3,  # not at the end of an epoch of 4 iterations
}


def scaler_of(checkpoint: Path) -> dict:
    return torch.load(checkpoint, weights_only=True)['optimizer']['loss_scaler']


@pytest.mark.long  # 25 s each
@pytest.mark.parametrize('kind', [STEADY, ADAMW], ids=['SGD', 'AdamW'])
def test_float16_scales_skips_and_resumes_shared_out_as_whole(kind, motion, tmp_path):
    words = options(motion, **{**kind, **FLOAT16, 'max_epochs': 3})
    for parallel in ('ddp', 'fsdp'):
        train(2, tmp_path / parallel, *words, f'parallel={parallel}')
    ends = [tmp_path / f'{parallel}/epoch_3.pth' for parallel in ('ddp', 'fsdp')]
    assert scaler_of(ends[0]) == scaler_of(ends[1])
    assert scaler_of(ends[0])['scale'] < FLOAT16['optim_wrapper.loss_scale.init_scale']
    for part in ('state_dict', 'optimizer'):
        assert apart(*ends, part) < 1e-3  # of float16
    before = tmp_path / 'fsdp/epoch_2.pth'
    assert apart(before, ends[1]) > 5e-5  # it moved
    train(2, tmp_path / 'again', *words, 'parallel=fsdp', '--resume', before)
    for part in ('state_dict', 'optimizer'):
        assert apart(ends[1], tmp_path / 'again/epoch_3.pth', part) == 0
    assert scaler_of(ends[1]) == scaler_of(tmp_path / 'again/epoch_3.pth')


@pytest.fixture(scope='module')
def runs(motion, tmp_path_factory):
    """Folder of a run of two epochs and its checkpoint of the middle of the second, by kind and processes."""
    folder = tmp_path_factory.mktemp('runs')

    def run(parallel: str, processes: int) -> Path:
        work_dir = folder / f'{parallel}_{processes}'
        if not work_dir.exists():
            process = start(work_dir, *words_of(motion, parallel), processes=processes)
            wait_for(work_dir / 'iter_6.pth', process)
            os.link(work_dir / 'iter_6.pth', work_dir / 'middle.pth')  # it is removed at the end of the epoch
            assert process.wait(240) == 0
        return work_dir

    return run


def words_of(motion: Path, parallel: str) -> list[str]:
    return options(motion, **STEADY, parallel=parallel, **{'default_hooks.checkpoint.iterations': 2})


@pytest.mark.parametrize(
    ('before', 'after'),
    [
        (('ddp', 2), ('ddp', 1)),
        (('ddp', 1), ('ddp', 2)),
        (('ddp', 2), ('fsdp', 2)),
        (('fsdp', 2), ('ddp', 2)),
        (('fsdp', 2), ('fsdp', 2)),
        (('fsdp', 2), ('ddp', 1)),
        (('ddp', 1), ('fsdp', 2)),
    ],
    ids=lambda kind: f'{kind[0]}{kind[1]}',
)
@pytest.mark.long
def test_the_middle_of_an_epoch_is_resumed_by_any_kind_and_number_of_processes(before, after, motion, runs, tmp_path):
    (parallel, processes), first = after, runs(*before)
    train(processes, tmp_path, *words_of(motion, parallel), '--resume', first / 'middle.pth')
    assert 'resumed epoch: 1, iter: 6' in log_of(tmp_path)
    difference = apart(first / 'epoch_2.pth', tmp_path / 'epoch_2.pth')
    assert difference == 0 if before == after else difference < 1e-5
    assert apart(first / 'middle.pth', tmp_path / 'epoch_2.pth') > 1e-4


def test_averaged_weights_are_refused(motion, tmp_path):
    config = tmp_path / 'averaged.py'
    config.write_text(f"_base_ = '{ROOT / TINY}'\ncustom_hooks = [dict(type='EMAHook')]\n")
    words = ['--work-dir', tmp_path / 'run', *options(motion, parallel='fsdp')]
    log = run_tool('tools/dist_train.sh', config, 2, *words, fails=True)
    assert "parallel is 'fsdp', which averages no weights; leave EMAHook out, or use 'ddp'" in log


def test_a_misspelt_parallel_is_named(motion, tmp_path):
    log = train(1, tmp_path, *options(motion, parallel='fdsp'), fails=True)
    assert "parallel is 'fdsp', expected one of ('ddp', 'fsdp')" in log


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason='two GPUs are needed')
@pytest.mark.parametrize('parallel', ['ddp', 'fsdp'])
@pytest.mark.parametrize('amp', ['auto', 'float16', 'off'])
@pytest.mark.parametrize('batch_size', [4, 2], ids=['one batch', 'accumulated'])
def test_two_gpus_train_and_resume_by_the_same_command(batch_size, amp, parallel, motion, tmp_path):
    changes = {**STEADY, 'amp': amp, 'parallel': parallel, 'train_dataloader.batch_size': batch_size}
    log = train(2, tmp_path / 'run', *options(motion, **changes))
    assert 'precision: ' in log
    assert 'epoch 2/2' in log
    words = [*options(motion, **changes), '--resume', tmp_path / 'run/epoch_1.pth']
    train(2, tmp_path / 'again', *words)
    assert (
        apart(tmp_path / 'run/epoch_2.pth', tmp_path / 'again/epoch_2.pth') < 1e-3
    )  # of kernels that add in any order
