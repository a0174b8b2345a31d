"""Checkpoints that are written in the background are those of the moment in which they were asked for."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import warm
from kills import difference
from mmengine.hooks import Hook
from mmengine.runner import Runner as PlainRunner
from torch import nn
from toys import ToyModel, toy_runner

from mmtsf.engine.runner import Runner, checkpoint_writer
from mmtsf.engine.runner.checkpoint_files import CheckpointFiles
from mmtsf.engine.runner.checkpoint_writer import CheckpointWriter, save, to_host, write_checkpoint
from mmtsf.utils.files import opened

HOOKS = dict(
    checkpoint=dict(type='CheckpointHook', interval=1, iterations=1, save_best='up', rule='greater'),
    checkpoint_format=dict(type='CheckpointFormatHook'),
    preemption=dict(type='PreemptionHook'),
)
PARTS = dict(
    optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.1)),
    param_scheduler=[dict(type='LinearLR', start_factor=0.1), dict(type='MultiStepLR', milestones=[1])],
    scores=dict(up=[0.1, 0.3, 0.2]),
)


def read(path: Path) -> dict:
    """A checkpoint, without what tells when and where it was written."""
    checkpoint = torch.load(path, weights_only=True)
    info = checkpoint['message_hub']['runtime_info']
    for values, keys in (
        (checkpoint['meta'], ('time', 'experiment_name', 'cfg', 'run')),
        (info, ('cfg', 'experiment_name')),
    ):
        for key in keys:
            values.pop(key, None)
    info.update({key: Path(str(info[key])).name for key in ('last_ckpt', 'best_ckpt') if key in info})
    checkpoint['message_hub']['log_scalars'] = {
        name: values for name, values in checkpoint['message_hub']['log_scalars'].items() if 'time' not in name
    }
    return checkpoint


def trained(folder: Path, background: bool, **changes: Any) -> dict[str, dict]:
    """What all checkpoints hold that a training leaves, by their names."""
    hooks = HOOKS | dict(checkpoint=HOOKS['checkpoint'] | dict(background=background))
    average = dict(type='EMAHook', momentum=0.1)
    parts = PARTS | dict(default_hooks=hooks, custom_hooks=[average], max_epochs=3) | changes
    toy_runner(folder, **parts).train()
    return {path.name: read(path) for path in sorted(folder.glob('*.pth'))}


def test_what_is_written_in_the_background_is_bit_for_bit_what_would_have_been_in_the_foreground(tmp_path):
    ours, theirs = (trained(tmp_path / str(background), background) for background in (True, False))
    assert list(ours) == ['best_up_epoch_2.pth', 'epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth']
    assert difference(ours, theirs) is None


@pytest.mark.parametrize('hooks', [{}, HOOKS], ids=['without hooks', 'with hooks'])
def test_a_checkpoint_holds_what_mmengines_runner_writes(hooks, tmp_path):
    files = []
    for kind in (Runner, PlainRunner):
        runner = toy_runner(tmp_path / kind.__module__, kind, default_hooks=hooks, max_epochs=1, **PARTS)
        runner.train()
        runner.save_checkpoint(str(tmp_path), f'{kind.__module__}.pth', meta=dict(extra=[1]), by_epoch=False)
        files.append(torch.load(tmp_path / f'{kind.__module__}.pth', weights_only=False))
    ours, theirs = files
    assert [list(file) for file in files] == [list(theirs)] * 2
    assert list(ours['meta']) == list(theirs['meta'])
    assert (ours['meta']['epoch'], ours['meta']['iter'], ours['meta']['extra']) == (1, 5, [1])
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        assert difference(ours[key], theirs[key]) is None
        assert type(ours[key]) is type(theirs[key])
    assert ours['message_hub'].keys() == theirs['message_hub'].keys()


def held_up(runner: Runner) -> threading.Event:
    """Have a runner's writer begin no checkpoint until an event is set."""
    event = threading.Event()
    runner._writer.start(Path('nothing'), lambda: event.wait(60) and None)
    runner._in_flight = (None,)
    return event


def test_what_training_changes_while_the_writer_is_held_up_is_not_in_the_file(tmp_path):
    runner = toy_runner(tmp_path / 'run', default_hooks=HOOKS, max_epochs=1, **PARTS)
    runner.train()
    nested = dict(of=[dict(many=[1, 2])])
    runner.message_hub.update_info('nested', nested, resumed=True)
    meta = dict(nested=nested)
    runner.save_checkpoint(str(tmp_path), 'foreground.pth', meta=dict(meta))
    event = held_up(runner)
    runner.save_checkpoint(str(tmp_path), 'background.pth', meta=dict(meta), background=True)
    for parameter in runner.model.parameters():
        parameter.data.fill_(torch.nan)
    for state in runner.optim_wrapper.optimizer.state.values():
        for value in state.values():
            value.fill_(9)
    for scheduler in runner.param_schedulers:
        scheduler.last_step = 99
        scheduler.base_values.append(99)
    nested['of'][0]['many'].append(3)
    runner.message_hub.update_scalar('train/loss', 9.0)
    assert not (tmp_path / 'background.pth').exists()
    event.set()
    runner.wait_for_checkpoints()
    assert runner.unsaved is None
    assert difference(read(tmp_path / 'background.pth'), read(tmp_path / 'foreground.pth')) is None


def test_shared_weights_are_copied_once_and_stay_shared():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    weights = model.state_dict()
    copy, _ = to_host(dict(state_dict=weights, part=weights['0.weight'][1:], text=['a']))
    taken = copy['state_dict']
    assert taken['0.weight'].data_ptr() == taken['1.weight'].data_ptr() != weights['0.weight'].data_ptr()
    assert copy['part'].untyped_storage().data_ptr() == taken['0.weight'].data_ptr()
    assert difference(dict(taken), dict(weights)) is None
    assert taken._metadata == weights._metadata


def test_a_resume_from_a_checkpoint_of_the_background_goes_on_bit_for_bit(tmp_path):
    class Stop(Hook):
        def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
            if runner.iter == 6:
                held_up(runner).set()
                raise InterruptedError

    whole = trained(tmp_path / 'whole', True)
    with pytest.raises(InterruptedError):
        trained(tmp_path / 'cut', True, custom_hooks=[dict(type='EMAHook', momentum=0.1), Stop()])
    assert (tmp_path / 'cut/iter_6.pth').exists()
    parts = PARTS | dict(scores=dict(up=PARTS['scores']['up'][1:]))
    again = trained(tmp_path / 'cut', True, resume=True, **parts)
    for name in ('epoch_2.pth', 'epoch_3.pth'):
        for key in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers'):
            assert difference(again[name][key], whole[name][key]) is None


@pytest.mark.parametrize('error', [InterruptedError, KeyboardInterrupt, SystemExit])
def test_a_training_that_fails_leaves_what_it_was_writing_whole(error, tmp_path):
    class Fail(Hook):
        priority = 'LOWEST'

        def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
            if runner.iter == 2:
                runner.wait_for_checkpoints()
                event = held_up(runner)
                runner.save_checkpoint(str(tmp_path), 'last.pth', background=True)
                threading.Timer(0.2, event.set).start()
                raise error

    runner = toy_runner(tmp_path, default_hooks=HOOKS, custom_hooks=[Fail()], **PARTS)
    with pytest.raises(error):
        runner.train()
    assert set(torch.load(tmp_path / 'last.pth', weights_only=True)) >= {'state_dict', 'optimizer'}


def test_a_signal_is_followed_when_the_checkpoint_is_on_the_disk(tmp_path):
    class Asked(Hook):
        def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
            if runner.iter == 2:
                runner.wait_for_checkpoints()
                threading.Timer(0.3, held_up(runner).set).start()
                signal.raise_signal(signal.SIGTERM)

    hooks = HOOKS | dict(checkpoint=dict(type='CheckpointHook'))
    runner = toy_runner(tmp_path, default_hooks=hooks, custom_hooks=[Asked()])
    with pytest.raises(SystemExit) as left:
        runner.train()
    assert left.value.code == 75
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_3.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_3.pth')


def test_after_a_checkpoint_that_cannot_be_written_none_is_until_that_is_known(tmp_path, capfd):
    runner = toy_runner(tmp_path / 'run', default_hooks={}, log_level='ERROR')
    runner.train()
    (tmp_path / '2.pth').mkdir()
    called: list[str] = []
    for name in ('1', '2', '3'):
        runner.save_checkpoint(
            str(tmp_path),
            f'{name}.pth',
            background=True,
            then=lambda name=name: called.append(f'{name} is written'),
            otherwise=lambda name=name: called.append(f'{name} is not'),
        )
    assert not runner.finish_writing()
    assert called == ['1 is written']
    assert '2.pth cannot be written: Is a directory; earlier checkpoints stay' in capfd.readouterr().out
    runner.wait_for_checkpoints()
    assert called == ['1 is written', '3 is not', '2 is not']
    assert str(runner.unsaved).startswith(f'{tmp_path}/2.pth cannot be written')
    assert not (tmp_path / '3.pth').exists()
    runner.save_checkpoint(str(tmp_path), '4.pth', background=True)
    runner.wait_for_checkpoints()
    assert runner.unsaved is None
    assert (tmp_path / '4.pth').is_file()


def test_an_error_that_is_not_of_the_disk_is_raised_where_the_writer_is_waited_for(tmp_path):
    runner = toy_runner(tmp_path / 'run', default_hooks={})
    runner.train()
    runner.save_checkpoint(str(tmp_path), '1.pth', background=True, then=lambda: {}['nothing'])
    with pytest.raises(KeyError, match='nothing'):
        runner.wait_for_checkpoints()


def test_weights_that_are_not_finite_are_found_in_the_copy(tmp_path):
    runner = toy_runner(tmp_path / 'run', default_hooks={})
    runner.train()
    runner.model.layer.weight.data.fill_(torch.inf)
    runner.save_checkpoint(str(tmp_path), '1.pth', background=True)
    runner.wait_for_checkpoints()
    assert (
        runner.unsaved
        == f'{tmp_path}/1.pth cannot be written: the weights layer.weight are not finite; earlier '
        + ('checkpoints stay')
    )
    assert not (tmp_path / '1.pth').exists()


def test_a_full_device_is_an_error_of_the_disk():
    with Path('/dev/full').open('wb', buffering=0) as file, pytest.raises(OSError, match='No space left on device'):
        save(dict(weight=torch.zeros(10**6)), file)


def test_a_process_that_is_forked_meanwhile_keeps_no_file_open(tmp_path):
    def numbers() -> list[str]:
        links = (os.readlink(entry.path) for entry in os.scandir('/proc/self/fd') if os.path.islink(entry.path))
        return [link for link in links if link.startswith(str(tmp_path))]

    context = multiprocessing.get_context('fork')
    seen = context.Queue()
    with opened(tmp_path / 'file.part', 'wb') as file:
        assert numbers() == [str(tmp_path / 'file.part')]
        child = context.Process(target=lambda: seen.put(numbers()))
        child.start()
        assert seen.get(timeout=30) == []
        child.join(30)
        file.write(b'whole')
    assert (tmp_path / 'file.part').read_bytes() == b'whole'


class Large(ToyModel):
    """A toy with weights of 80 MB that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('ballast', torch.randn(20_000_000))


def train_large(work_dir: str) -> None:
    """Train a large toy, with a checkpoint after every iteration."""
    hooks = dict(checkpoint=dict(type='CheckpointHook', interval=-1, iterations=1), format=HOOKS['checkpoint_format'])
    toy_runner(Path(work_dir), model=Large(), default_hooks=hooks, max_epochs=100).train()


def size_of(path: Path) -> int:
    """0 if it is gone."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def test_a_kill_in_the_midst_of_a_write_leaves_the_checkpoint_before_it(tmp_path):
    code = (
        f'import sys; sys.path[:0] = {sys.path!r}; import test_checkpoint_writer as t; t.train_large({str(tmp_path)!r})'
    )
    environment = dict(os.environ, OMP_NUM_THREADS='1')
    with open(os.devnull, 'w') as nothing:
        run = warm.start(['-c', code], Path(__file__).parent, environment, nothing)
    end = time.monotonic() + 120
    while not (list(tmp_path.glob('iter_*.pth')) and any(size_of(part) > 4e6 for part in tmp_path.glob('*.part'))):
        assert run.poll() is None
        assert time.monotonic() < end
    run.kill()
    run.wait()
    (part,) = tmp_path.glob('*.part')
    files = CheckpointFiles(tmp_path)
    newest, damaged = files.newest_whole()
    assert newest is not None
    assert damaged == {}
    assert part.name.split('.')[1] == f'iter_{int(newest.stem.split("_")[1]) + 1}'


def test_the_text_of_the_config_is_formatted_anew_when_it_has_changed(tmp_path):
    runner = toy_runner(tmp_path)
    first = runner.cfg_text
    assert runner.cfg_text is first == runner.cfg.pretty_text
    runner.cfg.new = dict(value=1)
    assert runner.cfg_text == runner.cfg.pretty_text != first


@pytest.mark.gpu
def test_a_gpu_does_not_wait_for_its_weights_and_the_copy_is_of_the_moment(tmp_path):
    weights = dict(state_dict={str(i): torch.randn(4096, 4096, device='cuda') for i in range(8)})
    expected = {name: value.cpu() for name, value in weights['state_dict'].items()}
    to_host(weights)[1]()  # memory is pinned once
    busy = torch.randn(8192, 8192, device='cuda')
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(20):
        busy = (busy @ busy).clamp(-1, 1)
    copy, wait = to_host(weights)
    for value in weights['state_dict'].values():
        value.zero_()
    asked = time.perf_counter() - begin
    wait()
    assert asked < (time.perf_counter() - begin) / 2
    assert all(value.is_pinned() for value in copy['state_dict'].values())
    assert difference(copy['state_dict'], expected) is None
    write_checkpoint(tmp_path / 'file.pth', copy, wait)
    assert difference(torch.load(tmp_path / 'file.pth', weights_only=True)['state_dict'], expected) is None


def test_a_writer_that_has_nothing_to_do_has_no_thread():
    before = threading.active_count()
    writer = CheckpointWriter(None)
    assert writer.wait()
    assert writer.finish() == (0, None)
    assert threading.active_count() == before


def test_what_a_writer_raises_is_in_the_log_where_training_fails_as_well(tmp_path, monkeypatch, capfd):
    class Fail(Hook):
        def before_train_epoch(self, runner: Runner) -> None:
            if runner.epoch == 1:
                raise InterruptedError

    def refuse(*_: Any) -> None:
        raise TypeError('no such type')

    monkeypatch.setattr(checkpoint_writer, 'save', refuse)
    hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1))
    runner = toy_runner(tmp_path, default_hooks=hooks, custom_hooks=[Fail()])
    with pytest.raises(InterruptedError):
        runner.train()
    assert "cannot be written: TypeError('no such type')" in capfd.readouterr().out


@pytest.mark.parametrize(
    ('config', 'given', 'expected'),
    [
        ({}, None, dict(broadcast_buffers=False, static_graph=True)),
        ({}, dict(type='Own'), dict(type='Own', static_graph=True)),
        ({}, dict(find_unused_parameters=True), dict(find_unused_parameters=True)),
        (dict(find_unused_parameters=True), None, dict(broadcast_buffers=False, find_unused_parameters=True)),
        (
            dict(optim_wrapper=dict(accumulative_counts=2)),
            None,
            dict(broadcast_buffers=False, find_unused_parameters=True),
        ),
    ],
)
def test_what_a_config_says_of_unused_parameters_stays(config, given, expected, tmp_path):
    runner = toy_runner(tmp_path, cfg=config)
    assert runner._without_cls(given) == expected
