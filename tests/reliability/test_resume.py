"""What a resume takes from a checkpoint, what from the config, and what it refuses before the first step."""

import os
import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import mmaction
import pytest
import torch
from runs import ROOT, TINY, run_tool

from mmtsf.config import load_config
from mmtsf.engine.runner import Runner
from mmtsf.engine.runner.checkpoint_files import CheckpointFiles
from mmtsf.engine.runner.work_dir import RUN, name_of

#: A training of two epochs of four iterations, in seconds
SMALL = {
    'max_epochs': 2,
    'global_batch_size': 2,
    'train_dataloader.batch_size': 2,
    'train_dataloader.num_workers': 0,
    'val_dataloader.num_workers': 0,
    'model.backbone.num_layers': 1,
}
AVERAGED = [dict(type='EMAHook', momentum=0.1)]
SGD = dict(type='SGD', momentum=0.9)
KINDS: dict[str, dict] = {'AdamW': {}, 'SGD': dict(optimizer=SGD), 'EMA': dict(custom_hooks=AVERAGED)}


def runner_of(work_dir: Path, data: Path, resume: Path | str | None = None, **changes: Any) -> Runner:
    """A runner in this process; ``resume`` is a checkpoint, or ``'auto'``."""
    optimizer, hooks, clip = (changes.pop(name, None) for name in ('optimizer', 'custom_hooks', 'clip_grad'))
    config = load_config(str(ROOT / TINY), {'data.root': str(data), **SMALL, **changes})
    if optimizer:
        config.optim_wrapper.optimizer = dict(optimizer, lr=changes.get('lr', 2e-3))
    config.custom_hooks = hooks
    config.optim_wrapper.clip_grad = clip or config.optim_wrapper.clip_grad
    config.work_dir, config.launcher, config.log_level = str(work_dir), 'none', 'WARNING'
    config.resume = resume if resume == 'auto' else bool(resume)
    config.load_from = None if resume in (None, 'auto') else str(resume)
    config.new_data = changes.get('new_data', False)
    config.experiment_name = uuid.uuid4().hex  # MMEngine's own name has the second in it, and two runs may share that
    return Runner.from_cfg(config)


def newest_whole(work_dir: Path) -> tuple[Path | None, dict[Path, str]]:
    """What a resume takes of a work dir, and what it passes over."""
    return CheckpointFiles(work_dir).newest_whole(name_of(work_dir))


@pytest.fixture(scope='module')
def motion(motion, tmp_path_factory) -> Path:
    """Two videos to train on and one to validate with of each class of the others' folder."""
    folder = tmp_path_factory.mktemp('few')
    for split, number in (('train', 2), ('val', 1), ('test', 1)):
        for path in motion.glob(f'{split}/*'):
            (folder / split / path.name).mkdir(parents=True)
            for video in sorted(path.iterdir())[:number]:
                shutil.copy(video, folder / split / path.name)
    return folder


@pytest.fixture(scope='module')
def trained(motion, tmp_path_factory) -> Callable[..., Path]:
    """Checkpoint of the first epoch of two, by the kind of training."""
    folder = tmp_path_factory.mktemp('trained')

    def checkpoint(kind: str = 'AdamW') -> Path:
        if not (folder / kind).exists():
            runner_of(folder / kind, motion, **KINDS[kind]).train()
        return folder / kind / 'epoch_1.pth'

    return checkpoint


@pytest.fixture
def edited(trained, tmp_path) -> Callable[..., Path]:
    """A checkpoint with changes made by a function of its content."""

    def checkpoint(change: Callable[[dict], Any], kind: str = 'AdamW') -> Path:
        content = torch.load(trained(kind), weights_only=True)
        change(content)
        torch.save(content, tmp_path / 'epoch_1.pth')
        return tmp_path / 'epoch_1.pth'

    return checkpoint


@pytest.fixture(scope='module')
def refusing(motion, tmp_path_factory) -> Callable[..., Runner]:
    """Runners by their kind, which nothing is loaded into: all that a test offers is refused."""
    runners: dict[str, Runner] = {}

    def runner(kind: str = 'AdamW') -> Runner:
        if kind not in runners:
            runners[kind] = runner_of(tmp_path_factory.mktemp(kind), motion, **KINDS[kind])
            runners[kind].call_hook('before_run')
        return runners[kind]

    return runner


# An optimizer's state is compared with its parameters


@pytest.mark.parametrize(
    'changes',
    [{'clip.num_frames': 16}, {'clip.num_frames': 4}, {'clip.size': 64}, {'model.backbone.num_layers': 2}],
    ids=str,
)
def test_another_model_is_refused_with_what_to_do(changes, trained, motion, tmp_path):
    with pytest.raises(ValueError, match=r'cannot resume: the model of this config has other weights .*load_from'):
        runner_of(tmp_path / 'run', motion, trained(), **changes).train()
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_a_tool_that_resumes_with_other_frames_ends_with_an_error_and_not_a_crash(trained, motion, tmp_path):
    words = ['--resume', trained(), '--work-dir', tmp_path / 'run', '--cfg-options', f'data.root={motion}']
    changes = [f'{key}={value}' for key, value in (SMALL | {'clip.num_frames': 16}).items()]
    log = run_tool('tools/train.py', TINY, *words, *changes, fails=True)
    assert 'error: cannot resume: the model of this config has other weights' in log


def first_state(checkpoint: dict) -> dict:
    return checkpoint['optimizer']['state'][0]


def reshaped(shape: tuple) -> Callable[[dict], None]:
    def change(checkpoint: dict) -> None:
        first_state(checkpoint)['exp_avg'] = torch.zeros(shape)

    return change


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (reshaped((1,)), r'exp_avg = torch.float32 \(1,\), expected numbers \('),
        (reshaped(()), r'exp_avg = torch.float32 \(\)'),
        (lambda c: first_state(c).update(exp_avg=first_state(c)['exp_avg'].to(torch.complex64)), 'torch.complex64'),
        (lambda c: first_state(c).update(exp_avg=first_state(c)['exp_avg'].long()), 'torch.int64'),
        (lambda c: first_state(c).update(exp_avg='abc'), "exp_avg = 'abc'"),
        (lambda c: first_state(c)['exp_avg_sq'].fill_(float('nan')), 'exp_avg_sq that is not finite'),
        (lambda c: first_state(c).update(exp_avg=first_state(c)['exp_avg'].to(torch.float8_e5m2)), 'float8'),
        (lambda c: first_state(c)['exp_avg_sq'].fill_(-1), 'exp_avg_sq that is not finite, or negative'),
        (lambda c: first_state(c)['step'].fill_(-1), 'step that is not finite, or negative'),
        (lambda c: first_state(c).update(step=torch.ones(7)), r'step = torch.float32 \(7,\)'),
        (lambda c: first_state(c).update(more=torch.ones(())), r"has \['exp_avg', .*expected"),
        (lambda c: first_state(c).pop('exp_avg'), r"has \['exp_avg_sq', 'step'\], expected"),
        (lambda c: c['optimizer']['state'].pop(3), 'optimizer states of .* parameters, expected'),
        (lambda c: c['optimizer']['state'].clear(), 'optimizer states of 0 parameters, expected'),
        (lambda c: c['optimizer']['state'].update({999: first_state(c)}), 'optimizer states of .*, expected'),
        (lambda c: c['optimizer']['param_groups'].pop(), 'other parameters'),
        (lambda c: c['optimizer']['param_groups'][0]['params'].pop(), 'other parameters'),
        (lambda c: c['optimizer']['param_groups'][0]['params'].reverse(), 'other parameters|other groups'),
        (lambda c: c['meta']['run']['parameters'].reverse(), 'other parameters'),
        (lambda c: c.update(optimizer=[1, 2]), 'not one that PyTorch has written'),
        (lambda c: c['optimizer'].update(state=None), 'not one that PyTorch has written'),
        (lambda c: c.pop('optimizer'), 'has no state of the optimizer'),
    ],
)
def test_a_state_that_does_not_fit_its_parameter_is_refused_before_the_first_step(change, words, edited, refusing):
    with pytest.raises(ValueError, match=words):
        refusing().resume(str(edited(change)))


@pytest.mark.parametrize(
    ('kind', 'now', 'change', 'words'),
    [
        (
            'SGD',
            'SGD',
            lambda c: first_state(c).update(momentum_buffer=torch.zeros(1)),
            r'momentum_buffer = torch.float32 \(1,\)',
        ),
        ('SGD', 'AdamW', lambda c: None, 'the optimizer is AdamW, and was SGD'),
        (
            'EMA',
            'EMA',
            lambda c: c['ema_state_dict'].update({'module.backbone.norm.weight': torch.ones(1)}),
            'other averaged weights',
        ),
        (
            'EMA',
            'EMA',
            lambda c: c['ema_state_dict']['module.backbone.norm.weight'].fill_(float('inf')),
            'the averaged weights .* are not finite',
        ),
        ('EMA', 'EMA', lambda c: c['ema_state_dict']['steps'].fill_(-2000), 'other averaged weights'),
        (
            'EMA',
            'EMA',
            lambda c: c['ema_state_dict'].update(
                {'module.backbone.norm.weight': c['ema_state_dict']['module.backbone.norm.weight'].to(torch.complex64)}
            ),
            'other averaged weights .*torch.complex64',
        ),
        ('EMA', 'AdamW', lambda c: None, 'holds averaged weights .*EMAHook'),
        ('AdamW', 'AdamW', lambda c: c['state_dict']['backbone.norm.weight'].fill_(float('nan')), 'hold NaN'),
    ],
)
def test_other_optimizers_and_averages_are_compared_too(kind, now, change, words, edited, refusing):
    with pytest.raises(ValueError, match=words):
        refusing(now).resume(str(edited(change, kind)))


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda c: c['meta'].update(iter=10**9), 'an epoch has 4 iterations, and iteration 1000000000 was in epoch 2'),
        (lambda c: c['meta'].update(epoch=0.0, iter=0.0), 'epoch 0.0 and iteration 0.0'),
        (lambda c: c['meta'].update(epoch=False), 'epoch False'),
        (lambda c: c['message_hub']['runtime_info'].update({1: 2}), 'the log of the checkpoint'),
        (lambda c: c['message_hub']['log_scalars']['train/loss'].update(max_length=0), 'the log of the checkpoint'),
        (lambda c: c['message_hub']['log_scalars']['train/loss'].update(values=torch.ones(2, 2)), 'the log of the'),
        (lambda c: c['meta'].update(iter=-1), 'epoch 1 and iteration -1'),
        (lambda c: c['meta'].update(epoch='1'), "epoch '1'"),
        (
            lambda c: c['meta'].update(epoch=10**9, iter=4 * 10**9),
            '4000000000 iterations are done, and max_epochs=2 ends after 8',
        ),
        (lambda c: c['meta'].update(seed='x'), "the seed of the checkpoint is 'x'"),
        (lambda c: c['meta'].update(seed=5), 'the seed is 0, and was 5 .* --seed 5'),
        (lambda c: c['message_hub'].update(log_scalars={'train/loss': 3}), 'the log of the checkpoint'),
        (lambda c: c['message_hub']['runtime_info'].update(best_score='high'), 'the log of the checkpoint'),
        (lambda c: c['meta'].update(run=[1]), r'run is \[1\] in the checkpoint'),
    ],
)
def test_a_place_or_log_that_no_run_has_written_is_refused(change, words, edited, refusing):
    with pytest.raises(ValueError, match=words):
        refusing().resume(str(edited(change)))


@pytest.mark.parametrize('key', ['exp_avg', 'exp_avg_sq'])
def test_a_state_has_memory_of_its_own_that_lies_as_its_parameter_does(key, trained, edited, motion, tmp_path):
    def disguise(checkpoint: dict) -> None:
        """The same numbers transposed in memory, and others that share one."""
        states = checkpoint['optimizer']['state']
        for state in states.values():
            state['step'] = states[0]['step']
            if state[key].ndim == 2:
                state[key] = state[key].t().contiguous().t()

    resumed(tmp_path / 'run', motion, edited(disguise))
    whole, again = (torch.load(f / 'epoch_2.pth', weights_only=True) for f in (trained().parent, tmp_path / 'run'))
    assert all(torch.equal(again['state_dict'][name], value) for name, value in whole['state_dict'].items())


def test_a_state_that_repeats_one_number_leads_nowhere_else_in_memory(edited, motion, tmp_path):
    def expand(checkpoint: dict) -> None:
        for state in checkpoint['optimizer']['state'].values():
            for key in ('exp_avg', 'exp_avg_sq'):
                count = state[key].numel()
                state[key] = torch.full((count,), 1e-3).as_strided(state[key].shape, (0,) * state[key].ndim, count - 1)

    path = edited(expand)
    with ProcessPoolExecutor(1, get_context('fork')) as pool:  # it would end the process
        assert pool.submit(final_loss, tmp_path / 'run', motion, path).result(timeout=120) < 100


def final_loss(*words: Any) -> float:
    torch.set_num_threads(1)  # others do not live on in a forked process
    return resumed(*words).message_hub.get_scalar('train/loss').current()


def test_the_words_of_a_checkpoint_forge_no_line_of_the_log(edited, motion, tmp_path, capfd):
    def forge(checkpoint: dict) -> None:
        checkpoint['meta']['run']['settings'] = {'a\n\x1b[31mFORGED': 'x' * 3000}

    resumed(tmp_path / 'run', motion, edited(forge))
    log = capfd.readouterr().out
    assert '\x1b[31m' not in log
    assert 'x' * 400 not in log


def test_a_norm_of_before_skips_no_update(edited, motion, tmp_path):
    def spoil(checkpoint: dict) -> None:
        checkpoint['message_hub']['log_scalars']['train/grad_norm']['values'][-1] = float('nan')

    runner = resumed(tmp_path / 'run', motion, edited(spoil), clip_grad=dict(type='value', clip_value=1.0))
    assert first_state(torch.load(tmp_path / 'run/epoch_2.pth', weights_only=True))['step'] == 8
    assert runner.iter == 8


def test_an_optimizer_with_states_of_fewer_dimensions_is_resumed(motion, tmp_path):
    kind = dict(type='Adafactor', relative_step=False, scale_parameter=False)
    runner_of(tmp_path / 'whole', motion, optimizer=kind, lr=1e-3).train()
    resumed(tmp_path / 'run', motion, tmp_path / 'whole/epoch_1.pth', optimizer=kind, lr=1e-3)
    whole, again = (torch.load(tmp_path / f / 'epoch_2.pth', weights_only=True) for f in ('whole', 'run'))
    assert all(torch.equal(again['state_dict'][name], value) for name, value in whole['state_dict'].items())


@pytest.mark.parametrize('lr', [1e12, 1e30])
def test_a_training_that_goes_wrong_from_the_start_has_no_good_checkpoint(lr, motion, tmp_path):
    with pytest.raises(RuntimeError, match='there is no good checkpoint'):
        runner_of(tmp_path / 'run', motion, lr=lr, max_epochs=6).train()


def test_a_checkpoint_names_no_file_that_a_better_one_removes(edited, motion, tmp_path):
    precious = tmp_path / 'best_of_all.pth'
    precious.write_text('precious')

    def change(checkpoint: dict) -> None:
        checkpoint['message_hub']['runtime_info'].update({'best_ckpt': str(precious), 'best_score': -1.0})

    runner_of(tmp_path / 'run', motion, edited(change)).train()
    assert precious.read_text() == 'precious'
    assert list((tmp_path / 'run').glob('best_*'))


def test_a_checkpoint_of_version_0_1_which_tells_less_is_resumed_bit_for_bit(trained, edited, motion, tmp_path):
    def as_before(checkpoint: dict) -> None:
        checkpoint['meta']['batch'] = checkpoint['meta'].pop('run')['batch']

    resumed(tmp_path / 'run', motion, edited(as_before))
    whole, again = (torch.load(f / 'epoch_2.pth', weights_only=True) for f in (trained().parent, tmp_path / 'run'))
    assert all(torch.equal(again['state_dict'][key], value) for key, value in whole['state_dict'].items())
    for place, state in whole['optimizer']['state'].items():
        assert all(torch.equal(again['optimizer']['state'][place][key], value) for key, value in state.items())


@pytest.mark.parametrize('kind', ['AdamW', 'EMA'])
def test_weights_by_their_names_of_version_0_1_are_resumed_bit_for_bit(kind, trained, edited, motion, tmp_path):
    def rename(checkpoint: dict) -> None:
        run = checkpoint['meta']['run']
        run['parameters'] = [name.replace('.temporal_fc.', '.fc.') for name in run['parameters']]
        assert sum('.fc.' in name for name in run['parameters']) == 2
        for name in ('state_dict', 'ema_state_dict'):
            state = checkpoint.get(name, {})
            for key in [key for key in state if '.temporal_fc.' in key]:
                state[key.replace('.temporal_fc.', '.fc.')] = state.pop(key)

    resumed(tmp_path / 'run', motion, edited(rename, kind), **KINDS[kind])
    whole, again = (torch.load(f / 'epoch_2.pth', weights_only=True) for f in (trained(kind).parent, tmp_path / 'run'))
    for name in {'state_dict', 'ema_state_dict'} & whole.keys():
        assert whole[name].keys() == again[name].keys()
        assert all(torch.equal(again[name][key], value) for key, value in whole[name].items())


# What the config says counts: it is honoured and said, or refused


def resumed(*words: Any, **changes: Any) -> Runner:
    """A runner that has gone on from a checkpoint, and trained to its end."""
    runner = runner_of(*words, **changes)
    runner.train()
    return runner


def schedule_of(runner: Runner) -> list[float]:
    return runner.message_hub.get_scalar('train/lr').data[0].tolist()


@pytest.mark.parametrize('changes', [{'lr': 1e-3}, {'max_epochs': 3}], ids=str)
def test_another_rate_or_length_is_the_one_of_a_training_that_had_it_from_the_start(changes, trained, motion, tmp_path):
    whole = schedule_of(resumed(tmp_path / 'whole', motion, **changes))
    schedule = schedule_of(resumed(tmp_path / 'run', motion, trained(), **changes))
    assert len(schedule) == len(whole)
    assert schedule[4:] == whole[4:]
    assert max(schedule[4:]) > 1e-4


def test_what_differs_is_listed_and_what_does_not_is_not(trained, motion, tmp_path, capfd):
    changes = {'lr': 1e-3, 'optim_wrapper.optimizer.weight_decay': 0.1}
    runner = resumed(tmp_path / 'run', motion, trained(), **changes)
    lines = capfd.readouterr().out.splitlines()
    said = [line.split('another setting: ')[1] for line in lines if 'another setting' in line]
    assert 'optim_wrapper.optimizer.lr is 0.001, and was 0.002 in the checkpoint' in said
    assert 'optim_wrapper.optimizer.weight_decay is 0.1, and was 0.05 in the checkpoint' in said
    assert all(line.startswith(('optim_wrapper.', 'param_scheduler.')) for line in said), said
    assert runner.optim_wrapper.param_groups[0]['weight_decay'] == 0.1


@pytest.fixture
def other_data(motion, tmp_path) -> Path:
    """The same videos in a folder of their own, to be changed."""
    shutil.copytree(motion, tmp_path / 'data')
    return tmp_path / 'data'


def shrink(data: Path) -> None:
    for video in sorted(data.glob('train/*/*.mp4'))[4:]:
        video.unlink()
    for folder in data.glob('train/*'):
        if not list(folder.iterdir()):
            shutil.copy(next(data.glob('train/*/*.mp4')), folder)


def grow(data: Path) -> None:
    for video in sorted(data.glob('train/*/*.mp4')):
        shutil.copy(video, video.with_stem(f'{video.stem}_more'))


def exchange(data: Path) -> None:
    video = next(data.glob('train/right/*.mp4'))
    video.rename(data / 'train/left' / f'moved_{video.name}')


@pytest.mark.parametrize('change', [shrink, grow, exchange])
def test_other_videos_are_refused_unless_they_are_asked_for(change, trained, motion, other_data, tmp_path):
    change(other_data)
    with pytest.raises(ValueError, match=r'cannot resume: the training set has .* --new-data'):
        runner_of(tmp_path / 'run', other_data, trained()).train()
    runner = resumed(tmp_path / 'new', other_data, trained(), new_data=True)
    assert (runner.epoch, runner.iter) == (2, 2 * len(runner.train_dataloader))


def test_the_same_videos_elsewhere_are_the_same(trained, other_data, tmp_path):
    assert resumed(tmp_path / 'run', other_data, trained()).iter == 8


def test_other_classes_of_the_same_number_are_refused_even_with_new_data(trained, other_data, tmp_path):
    for split in ('train', 'val', 'test'):
        (other_data / split / 'left').rename(other_data / split / 'zigzag')
    with pytest.raises(ValueError, match="class 0 is 'left_then_right', and was 'left' in"):
        runner_of(tmp_path / 'run', other_data, trained(), new_data=True).train()


def test_new_data_needs_an_epoch_that_is_left(edited, other_data, tmp_path):
    checkpoint = edited(lambda c: c['meta'].update(iter=6))
    exchange(other_data)
    with pytest.raises(ValueError, match='no epoch is left of 2'):
        runner_of(tmp_path / 'run', other_data, checkpoint, new_data=True).train()


def test_new_data_that_are_the_same_go_on_in_the_epoch(edited, motion, tmp_path):
    checkpoint = edited(lambda c: c['meta'].update(iter=6))  # within the second epoch
    runner = resumed(tmp_path / 'run', motion, checkpoint, new_data=True)
    assert (runner.epoch, runner.iter) == (2, 8)
    assert first_state(torch.load(tmp_path / 'run/epoch_2.pth', weights_only=True))['step'] == 4 + 2


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (
            {'train_dataloader.drop_last': True, 'global_batch_size': 6, 'train_dataloader.batch_size': 6},
            'an iteration was',
        ),
        ({'model.type': 'VideoRecognizer', 'model.frozen': True}, 'other parameters'),
    ],
    ids=str,
)
def test_settings_that_cannot_be_honoured_are_refused(changes, words, trained, motion, tmp_path):
    with pytest.raises(ValueError, match=words):
        runner_of(tmp_path / 'run', motion, trained(), **changes).train()


def test_a_resume_behind_its_end_is_refused(edited, motion, tmp_path):
    with pytest.raises(ValueError, match='6 iterations are done, and max_epochs=1 ends after 4; set it to more'):
        runner_of(tmp_path / 'run', motion, edited(lambda c: c['meta'].update(iter=6)), max_epochs=1).train()


def test_a_run_that_is_at_its_end_stays_there(trained, motion, tmp_path):
    shutil.copytree(trained().parent, tmp_path / 'run')
    runner = resumed(tmp_path / 'run', motion, 'auto')
    assert (runner.epoch, runner.iter) == (2, 8)


# A work dir is of one run


def test_a_checkpoint_of_another_run_is_not_the_newest(trained, motion, tmp_path):
    shutil.copytree(trained().parent, tmp_path / 'run')
    shutil.copy(trained('SGD').with_name('epoch_2.pth'), tmp_path / 'run/epoch_9.pth')
    found, passed_over = newest_whole(tmp_path / 'run')
    assert found == tmp_path / 'run/epoch_2.pth'
    assert 'it is of another run' in passed_over[tmp_path / 'run/epoch_9.pth']
    (tmp_path / 'run' / RUN).unlink()  # as version 0.1 left it
    assert newest_whole(tmp_path / 'run')[0] == tmp_path / 'run/epoch_9.pth'


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob('*.pth')}


def test_a_resume_that_finds_nothing_to_take_writes_over_nothing(trained, motion, tmp_path):
    shutil.copytree(trained().parent, tmp_path / 'run')
    (tmp_path / 'run' / RUN).write_text('another')
    before = contents(tmp_path / 'run')
    with pytest.raises(RuntimeError, match='holds checkpoints of an earlier training'):
        runner_of(tmp_path / 'run', motion, 'auto').train()
    assert contents(tmp_path / 'run') == before


@pytest.mark.parametrize('run_file', [True, False])
def test_a_named_checkpoint_of_another_run_does_not_come_into_a_used_work_dir(run_file, trained, motion, tmp_path):
    shutil.copytree(trained('SGD').parent, tmp_path / 'run')
    if not run_file:
        (tmp_path / 'run' / RUN).unlink()
    before = contents(tmp_path / 'run')
    with pytest.raises(RuntimeError, match='holds checkpoints of another run than'):
        runner_of(tmp_path / 'run', motion, trained()).train()
    assert contents(tmp_path / 'run') == before


def test_the_newest_checkpoint_is_the_furthest_whatever_the_clock_says(trained, tmp_path):
    shutil.copytree(trained().parent, tmp_path / 'run')
    os.utime(tmp_path / 'run/epoch_1.pth')
    assert newest_whole(tmp_path / 'run') == (tmp_path / 'run/epoch_2.pth', {})


def test_what_is_no_checkpoint_is_passed_over_without_waiting(trained, tmp_path):
    shutil.copytree(trained().parent, tmp_path / 'run')
    os.mkfifo(tmp_path / 'run/epoch_9.pth')
    (tmp_path / 'run/epoch_8.pth').symlink_to(tmp_path / 'nowhere.pth')
    (tmp_path / 'run/epoch_7.pth').mkdir()
    (tmp_path / 'run/epoch_6.pth').write_text('no checkpoint')
    found, passed_over = newest_whole(tmp_path / 'run')
    assert found == tmp_path / 'run/epoch_2.pth'
    assert [path.name for path in passed_over] == ['epoch_6.pth']
    (tmp_path / 'run' / RUN).write_bytes(b'\xff\xfe')
    assert newest_whole(tmp_path / 'run')[0] is None


def test_a_run_of_version_0_1_is_resumed_twice(trained, edited, motion, tmp_path):
    def as_before(checkpoint: dict) -> None:
        checkpoint['meta']['batch'] = checkpoint['meta'].pop('run')['batch']

    edited(as_before).rename((tmp_path / 'run').mkdir() or tmp_path / 'run/epoch_1.pth')
    stopped = runner_of(tmp_path / 'run', motion, 'auto')
    stopped.train_loop.stop_training = True  # before its first checkpoint
    stopped.train()
    assert resumed(tmp_path / 'run', motion, 'auto').iter == 8


def test_a_training_that_begins_leaves_the_checkpoints_of_another_alone(trained, motion, tmp_path):
    shutil.copytree(trained().parent, tmp_path / 'run')
    before = {path.name: path.read_bytes() for path in (tmp_path / 'run').glob('*.p*')}
    words = ['--work-dir', tmp_path / 'run', '--cfg-options', f'data.root={motion}', 'lr=1']
    log = run_tool('tools/train.py', TINY, *words, fails=True)
    assert 'holds checkpoints of an earlier training (best_' in log
    assert 'go on from them with --resume, choose another folder with --work-dir, or remove them' in log
    assert {path.name: path.read_bytes() for path in (tmp_path / 'run').glob('*.p*')} == before


def test_the_script_of_mmaction2_goes_on_where_it_was_and_never_begins_again(motion, tmp_path):
    script = Path(mmaction.__file__).parent / '.mim/tools/train.py'
    words = [f'{key}={value}' for key, value in {**SMALL, 'data.root': motion, 'log_level': 'INFO'}.items()]
    command = [script, TINY, '--work-dir', tmp_path / 'run', '--cfg-options', *words]
    run_tool(*command, 'max_epochs=1')
    log = run_tool(*command[:2], '--resume', *command[2:], 'max_epochs=2')
    assert f'resuming from {tmp_path}/run/epoch_1.pth' in log
    assert 'epoch 2/2' in log
    assert 'epoch 1/2' not in log
    (tmp_path / 'run/epoch_1.pth').unlink()
    (tmp_path / 'run/epoch_2.pth').unlink()
    assert 'FileNotFoundError' in run_tool(*command[:2], '--resume', *command[2:], fails=True)
