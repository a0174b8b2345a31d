"""Our checkpoint hook takes and keeps all that MMEngine's does, and removes nothing that it still needs."""

import inspect
import re
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine import hooks
from mmengine.fileio import BaseStorageBackend, FileClient, register_backend
from mmengine.hooks import Hook
from mmengine.runner import Runner as PlainRunner
from mmengine.runner import find_latest_checkpoint
from toys import ToyModel, toy_runner

from mmtsf.engine.hooks import CheckpointHook
from mmtsf.engine.runner import Runner, checkpoint_writer
from mmtsf.utils import files as written

RUNNERS = pytest.mark.parametrize('runner', [Runner, PlainRunner], ids=['our runner', "MMEngine's"])


def trained(work_dir: Path, runner: type = Runner, hook: dict | None = None, **changes: Any) -> PlainRunner:
    """A toy that was trained with a checkpoint hook of ours."""
    hooks = dict(checkpoint=dict(type='CheckpointHook', **hook or {}), format=dict(type='CheckpointFormatHook'))
    made = toy_runner(work_dir, runner, default_hooks=hooks, **changes)
    made.train()
    return made


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob('*.pth'))


def test_it_takes_the_arguments_of_its_base_in_their_order():
    values = dict(interval=3, by_epoch=False, save_optimizer=False, save_param_scheduler=False, out_dir='out')
    values |= dict(max_keep_ckpts=4, save_last=False, save_best=['a', 'b'], rule=['less', 'greater'], greater_keys='c')
    values |= dict(less_keys=['d'], file_client_args=None, filename_tmpl='x_{}.pth', backend_args=dict(backend='local'))
    values |= dict(published_keys=['state_dict'], save_begin=2)
    assert list(values) == [name for name in inspect.signature(hooks.CheckpointHook).parameters if name != 'kwargs']
    usual, ours = (vars(kind(*values.values())) for kind in (hooks.CheckpointHook, CheckpointHook))
    assert {name: ours[name] for name in usual} == usual
    assert vars(CheckpointHook())['interval'] == vars(hooks.CheckpointHook())['interval']


def test_an_argument_that_nothing_takes_is_named_before_training_starts(tmp_path):
    with pytest.raises(TypeError, match="CheckpointHook has no argument 'max_keep_ckpt'"):
        trained(tmp_path, hook=dict(interval=1, max_keep_ckpt=3))
    assert files(tmp_path) == []


@RUNNERS
def test_files_and_the_message_hub_name_the_last_checkpoint_and_those_that_are_kept(runner, tmp_path):
    made = trained(tmp_path, runner, dict(interval=1, max_keep_ckpts=2), max_epochs=4)
    assert files(tmp_path) == ['epoch_3.pth', 'epoch_4.pth']
    assert find_latest_checkpoint(str(tmp_path)) == str(tmp_path / 'epoch_4.pth')
    for info in (
        made.message_hub.runtime_info,
        torch.load(tmp_path / 'epoch_4.pth')['message_hub']['runtime_info'],
    ):
        assert info['last_ckpt'] == str(tmp_path / 'epoch_4.pth')
        assert info['keep_ckpt_ids'] == [3, 4]


@RUNNERS
@pytest.mark.parametrize(
    ('hook', 'expected'),
    [
        (dict(interval=2), ['epoch_2.pth', 'epoch_3.pth']),
        (dict(interval=2, save_last=False), ['epoch_2.pth']),
        (dict(interval=-1), ['epoch_3.pth']),
        (dict(interval=1, save_begin=2), ['epoch_2.pth', 'epoch_3.pth']),
        (dict(interval=1, filename_tmpl='toy-{}.pth', max_keep_ckpts=1), ['toy-3.pth']),
        (dict(interval=5, by_epoch=False, max_keep_ckpts=2), ['iter_10.pth', 'iter_12.pth']),
    ],
    ids=str,
)
def test_checkpoints_are_written_when_its_base_writes_them(runner, hook, expected, tmp_path):
    trained(tmp_path, runner, hook, max_epochs=3)
    assert files(tmp_path) == expected
    whole = toy_runner(
        tmp_path / 'base',
        default_hooks=dict(checkpoint=dict(type='mmengine.hooks.CheckpointHook', **hook)),
        max_epochs=3,
    )
    whole.train()
    assert files(tmp_path / 'base') == expected


def test_a_published_checkpoint_holds_the_keys_that_were_asked_for(tmp_path):
    trained(tmp_path, hook=dict(interval=1, published_keys=['meta', 'state_dict']))
    (name,) = [name for name in files(tmp_path) if re.fullmatch(r'epoch_2-[0-9a-f]{8}\.pth', name)]
    assert set(torch.load(tmp_path / name)) == {'meta', 'state_dict'}


@pytest.mark.parametrize(
    'named', [dict(), dict(filename_tmpl='toy_{:03d}.pth'), dict(by_epoch=False, interval=3)], ids=str
)
def test_checkpoints_elsewhere_are_found_again_and_not_written_over(named, tmp_path):
    work_dir, hook = tmp_path / 'run', dict(interval=1, out_dir=str(tmp_path / 'out')) | named
    trained(work_dir, hook=hook, max_epochs=1)
    before = files(tmp_path / 'out/run')
    assert before
    assert files(work_dir) == []
    with pytest.raises(RuntimeError, match=f'{tmp_path}/out/run holds checkpoints of an earlier training'):
        trained(work_dir, hook=hook)
    assert trained(work_dir, hook=hook, max_epochs=2, resume=True).iter == 8
    assert set(before) < set(files(tmp_path / 'out/run'))


def test_what_last_checkpoint_names_is_not_begun_anew_where_nothing_else_is_found(tmp_path):
    trained(tmp_path / 'run', max_epochs=1)
    (tmp_path / 'run/epoch_1.pth').rename(tmp_path / 'other.pth')
    (tmp_path / 'run/last_checkpoint').write_text(str(tmp_path / 'other.pth'))
    assert trained(tmp_path / 'run', resume=True).message_hub.get_scalar('train/loss').data[0].size == 8
    (tmp_path / 'run/epoch_2.pth').unlink()
    (tmp_path / 'run/last_checkpoint').write_text(str(tmp_path / 'gone.pth'))
    with pytest.raises(FileNotFoundError, match=r'gone\.pth'):
        trained(tmp_path / 'run', resume=True, max_epochs=3)


SCORES = dict(up=[0.1, 0.3, 0.05], down=[5.0, 6.0, 4.0])


@RUNNERS
@pytest.mark.parametrize(
    ('keys', 'expected'),
    [('up', ['best_up_epoch_2.pth']), (['up', 'down'], ['best_down_epoch_3.pth', 'best_up_epoch_2.pth'])],
)
def test_the_best_of_each_metric_stays(runner, keys, expected, tmp_path):
    rule = ['greater', 'less'] if isinstance(keys, list) else 'greater'
    trained(tmp_path, runner, dict(interval=1, save_best=keys, rule=rule), max_epochs=3, scores=SCORES)
    assert [name for name in files(tmp_path) if name.startswith('best')] == expected
    info = torch.load(tmp_path / 'epoch_3.pth')['message_hub']['runtime_info']
    ends = ['_down', '_up'] if isinstance(keys, list) else ['']
    assert [info[f'best_ckpt{end}'] for end in ends] == [str(tmp_path / name) for name in expected]


class Obstacle(Hook):
    """Puts a folder where a file is to be written, when the second epoch begins."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def before_train_epoch(self, runner: PlainRunner) -> None:
        if runner.epoch == 1:
            self.path.mkdir()


BACKGROUND = pytest.mark.parametrize('background', [True, False], ids=['background', 'foreground'])


@BACKGROUND
@pytest.mark.parametrize('keys', ['up', ['up', 'down']])
def test_a_best_checkpoint_that_cannot_be_written_leaves_the_one_before_it(keys, background, tmp_path, capfd):
    rule = ['greater', 'less'] if isinstance(keys, list) else 'greater'
    hook = dict(interval=1, save_best=keys, rule=rule, background=background)
    obstacle = Obstacle(tmp_path / 'best_up_epoch_2.pth')
    made = trained(tmp_path, hook=hook, max_epochs=3, scores=SCORES, custom_hooks=[obstacle])
    assert 'best_up_epoch_2.pth cannot be written: Is a directory; earlier checkpoints stay' in capfd.readouterr().out
    assert (tmp_path / 'best_up_epoch_1.pth').is_file()
    end = '' if keys == 'up' else '_up'
    for info in (
        made.message_hub.runtime_info,
        torch.load(tmp_path / 'epoch_2.pth')['message_hub']['runtime_info'],
        torch.load(tmp_path / 'epoch_3.pth')['message_hub']['runtime_info'],
    ):
        assert info[f'best_ckpt{end}'] == str(tmp_path / 'best_up_epoch_1.pth')
        assert info[f'best_score{end}'] == 0.1
    assert not list(tmp_path.glob('*.part'))


@BACKGROUND
def test_a_checkpoint_that_cannot_be_written_is_told_to_none_that_follows(background, tmp_path):
    hook = dict(interval=1, max_keep_ckpts=2, background=background)
    made = trained(tmp_path, hook=hook, max_epochs=3, custom_hooks=[Obstacle(tmp_path / 'epoch_2.pth')])
    assert made.message_hub.runtime_info['keep_ckpt_ids'] == [1, 3]
    info = torch.load(tmp_path / 'epoch_3.pth')['message_hub']['runtime_info']
    assert info['keep_ckpt_ids'] == [1, 3]
    assert info['last_ckpt'] == str(tmp_path / 'epoch_3.pth')
    assert [path.name for path in tmp_path.glob('*.pth') if path.is_file()] == ['epoch_1.pth', 'epoch_3.pth']


@BACKGROUND
def test_a_last_checkpoint_that_cannot_be_written_ends_the_training_with_an_error(background, tmp_path):
    with pytest.raises(RuntimeError, match=r'training is at its end, but .*epoch_2\.pth cannot be written: Is a dir'):
        trained(
            tmp_path, hook=dict(interval=1, background=background), custom_hooks=[Obstacle(tmp_path / 'epoch_2.pth')]
        )
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_1.pth')


@BACKGROUND
def test_old_checkpoints_stay_until_the_new_one_and_its_name_are_on_the_disk(background, tmp_path, monkeypatch):
    commit, seen = written.commit, {}

    def watched(part: Path, path: Path) -> None:
        seen.setdefault(path.name, []).append(files(tmp_path))
        commit(part, path)

    monkeypatch.setattr(written, 'commit', watched)
    trained(tmp_path, hook=dict(interval=1, max_keep_ckpts=1, background=background), max_epochs=3)
    last = seen.pop('last_checkpoint')
    assert seen == {'epoch_1.pth': [[]], 'epoch_2.pth': [['epoch_1.pth']], 'epoch_3.pth': [['epoch_2.pth']]}
    assert last == [['epoch_1.pth'], ['epoch_1.pth', 'epoch_2.pth'], ['epoch_2.pth', 'epoch_3.pth']]
    assert files(tmp_path) == ['epoch_3.pth']


@RUNNERS
def test_resume_true_goes_on_and_does_not_begin_again(runner, tmp_path):
    first = trained(tmp_path, runner, dict(interval=1), max_epochs=1)
    again = trained(tmp_path, runner, dict(interval=1), max_epochs=3, resume=True)
    assert (again.epoch, again.iter) == (3, 12)
    losses = again.message_hub.get_scalar('train/loss').data[0].tolist()
    assert len(losses) == 12
    assert losses[:4] == first.message_hub.get_scalar('train/loss').data[0].tolist()


def test_a_resume_before_training_finds_the_newest_checkpoint(tmp_path):
    trained(tmp_path, hook=dict(interval=1), max_epochs=1)
    runner = toy_runner(tmp_path, resume=True)
    runner.load_or_resume()
    assert (runner.epoch, runner.iter) == (1, 4)
    runner.train()
    assert runner.iter == 8


@RUNNERS
def test_an_old_checkpoint_that_cannot_be_removed_stays_and_training_goes_on(runner, tmp_path, monkeypatch, capfd):
    unlink = Path.unlink

    def refused(self: Path, missing_ok: bool = False) -> None:
        if self.name == 'epoch_1.pth':
            raise PermissionError(1, 'Operation not permitted', str(self))
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, 'unlink', refused)
    made = trained(tmp_path, runner, dict(interval=1, max_keep_ckpts=1), max_epochs=4)
    assert made.epoch == 4
    assert files(tmp_path) == ['epoch_1.pth', 'epoch_4.pth']
    assert 'epoch_1.pth cannot be removed: Operation not permitted; training goes on' in capfd.readouterr().out


# An object store


@FileClient.register_backend('store', prefixes='store')
@register_backend('store', prefixes='store')
class Store(BaseStorageBackend):
    """Keeps what it is given, by paths."""

    kept: dict[str, bytes] = {}

    def get(self, filepath: str) -> bytes:
        return self.kept[filepath]

    def get_text(self, filepath: str, encoding: str = 'utf-8') -> str:
        return self.kept[filepath].decode(encoding)

    def put(self, obj: Any, filepath: str) -> None:
        self.kept[filepath] = obj.getvalue() if hasattr(obj, 'getvalue') else obj

    def join_path(self, filepath: str, *filepaths: str) -> str:
        return '/'.join([str(filepath), *map(str, filepaths)])


class Spoil(Hook):
    """Makes weights, or averages of them, NaN in the second epoch."""

    priority = 'LOWEST'

    def __init__(self, averages: bool) -> None:
        self.averages = averages

    def after_train_iter(self, runner: PlainRunner, *_: Any, **__: Any) -> None:
        average = next((hook for hook in runner.hooks if isinstance(hook, hooks.EMAHook)), None)
        if runner.epoch == 1:
            weights = average.ema_model if self.averages else runner.model
            next(iter(weights.parameters())).data.fill_(torch.nan)


@pytest.mark.parametrize('averages', [False, True])
def test_an_object_store_gets_no_weights_that_are_not_finite_and_the_last_good_checkpoint_stays_named(
    averages, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(Store, 'kept', {})
    work_dir, extra = tmp_path / 'run', [dict(type='EMAHook')] if averages else []
    hook = dict(interval=1, out_dir='store://bucket', backend_args=dict(backend='store'))
    with pytest.raises(RuntimeError, match='training is at its end, but .* are not finite; earlier checkpoints stay'):
        trained(work_dir, hook=hook, custom_hooks=[*extra, Spoil(averages)])
    assert list(Store.kept) == ['store://bucket/run/epoch_1.pth']
    assert (work_dir / 'last_checkpoint').read_text() == 'store://bucket/run/epoch_1.pth'
    checkpoint = torch.load(BytesIO(Store.kept['store://bucket/run/epoch_1.pth']), weights_only=True)
    assert checkpoint['message_hub']['runtime_info']['last_ckpt'] == 'store://bucket/run/epoch_1.pth'
    assert {'meta', 'state_dict', 'optimizer'} <= set(checkpoint)
    assert 'cannot be written' in capfd.readouterr().out


def test_what_a_store_raises_of_its_own_is_told_and_its_checkpoints_are_no_riddle_to_a_resume(tmp_path, monkeypatch):
    hook = dict(interval=1, out_dir='store://bucket', backend_args=dict(backend='store'))
    trained(tmp_path / 'run', hook=hook)
    with pytest.raises(ValueError, match='cannot resume: store://bucket/run/epoch_2.pth was written through a backend'):
        trained(tmp_path / 'run', hook=hook, resume=True)
    monkeypatch.setattr(Store, 'put', lambda *_: {}['a key'])
    with pytest.raises(RuntimeError, match="training is at its end, but .* cannot be written: KeyError: 'a key'"):
        trained(tmp_path / 'other', hook=hook)


# The last good checkpoint


class Diverge(ToyModel):
    """A toy whose losses are NaN from an iteration on."""

    left = 13

    def forward(self, inputs: torch.Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        self.left -= mode == 'loss'
        found = super().forward(inputs, data_samples, mode)
        return dict(loss=found['loss'] * torch.nan) if mode == 'loss' and self.left < 0 else found


@BACKGROUND
def test_the_last_good_checkpoint_that_is_named_is_on_the_disk(background, tmp_path):
    obstacles = [Obstacle(tmp_path / f'epoch_{number}.pth') for number in (2, 3)]
    obstacles[0].before_train_epoch = lambda runner: runner.epoch == 1 and [o.path.mkdir() for o in obstacles]
    finite = dict(type='FiniteLossHook', max_skips=2)
    hook = dict(interval=1, background=background)
    with pytest.raises(RuntimeError, match=f'the last good checkpoint is {tmp_path}/epoch_1.pth'):
        trained(tmp_path, hook=hook, max_epochs=5, model=Diverge(), custom_hooks=[obstacles[0], finite])


def test_a_checkpoint_that_is_being_written_is_named_once_it_is_on_the_disk(tmp_path, monkeypatch):
    write = checkpoint_writer.save
    monkeypatch.setattr(checkpoint_writer, 'save', lambda *args: time.sleep(0.5) or write(*args))
    finite = dict(type='FiniteLossHook', max_skips=0)
    with pytest.raises(RuntimeError, match=f'the last good checkpoint is {tmp_path}/epoch_3.pth'):
        trained(tmp_path, hook=dict(interval=1), max_epochs=5, model=Diverge(), custom_hooks=[finite])
    assert (tmp_path / 'epoch_3.pth').is_file()
