"""A work dir at an address holds what the run's folder holds, and a run goes on from it on an empty disk."""

import logging
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from object_store import Store
from toys import toy_runner

from mmtsf import compat
from mmtsf.engine.runner import mirror as mirrors
from mmtsf.engine.runner.mirror import local_folder
from mmtsf.utils import remote_calls
from mmtsf.utils.locations import location


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch) -> None:
    """Work in an empty folder, and wait for nothing long."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(remote_calls, 'FIRST_WAIT', 0.01)
    monkeypatch.setattr(mirrors, 'AGAIN', 0.1)


class Stop(Exception):
    """The machine is lost."""


class StopAt(Hook):
    """Ends a training without a word before an iteration."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def before_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        if runner.iter == self.iteration:
            runner.wait_for_checkpoints()
            runner.mirror.finish()
            raise Stop


def trained(work_dir: str | Path, resume: bool = False, stop: int | None = None, **changes: Any) -> Any:
    """A toy that was trained, with its hooks; ``stop`` is the iteration at which its machine is lost."""
    hook = dict(type='CheckpointHook', interval=1, iterations=3, max_keep_ckpts=1, **changes.pop('hook', {}))
    hooks = dict(checkpoint=hook, format=dict(type='CheckpointFormatHook'), same=dict(type='ReproducibilityHook'))
    custom = [StopAt(stop)] if stop is not None else []
    runner = toy_runner(work_dir, default_hooks=hooks, custom_hooks=custom, resume=resume, max_epochs=4, **changes)
    runner.train()
    return runner


def resumed(runner: Any) -> str:
    """Name of the checkpoint that a runner has gone on from."""
    return Path(str(compat.resumed_checkpoint(runner))).name


def keys(store: Store) -> dict[str, bytes]:
    """What a bucket holds."""
    import fsspec

    system = fsspec.filesystem('s3', use_listings_cache=False)
    root = store.url.removeprefix('s3://') + '/'
    return {key.removeprefix(root): system.cat_file(key) for key in system.find(root)}


def weights(file: Path) -> dict:
    return torch.load(file, weights_only=True)['state_dict']


def test_a_run_that_lost_its_disk_goes_on_from_the_address_and_ends_bit_for_bit_like_one_that_did_not(s3):
    trained('whole')
    with pytest.raises(Stop):
        trained(f'{s3.url}/run', stop=10)
    assert {'run/epoch_2.pth', 'run/iter_9.pth', 'run/last_checkpoint', 'run/run_id'} <= set(keys(s3))
    assert 'run/epoch_1.pth' not in keys(s3)
    folder = Path(local_folder(f'{s3.url}/run'))
    shutil.rmtree(folder)
    runner = trained(f'{s3.url}/run', resume=True)
    assert runner.iter == 16
    ends, expected = weights(folder / 'epoch_4.pth'), weights(Path('whole/epoch_4.pth'))
    assert all(torch.equal(ends[name], expected[name]) for name in expected)
    found = keys(s3)
    assert found['run/last_checkpoint'] == f'{s3.url}/run/epoch_4.pth'.encode()
    assert found['run/epoch_4.pth'] == (folder / 'epoch_4.pth').read_bytes()
    assert sorted(name for name in found if name.endswith('.pth')) == ['run/epoch_4.pth']


def test_a_checkpoint_that_is_damaged_at_the_address_is_passed_over(s3):
    with pytest.raises(Stop):
        trained(f'{s3.url}/run', stop=10)
    shutil.rmtree('work_dirs')
    s3.put('run/iter_9.pth', keys(s3)['run/iter_9.pth'][:500])
    runner = trained(f'{s3.url}/run', resume=True)
    assert resumed(runner) == 'epoch_2.pth'


def test_of_a_folder_and_an_address_that_differ_the_newer_is_taken(s3):
    with pytest.raises(Stop):
        trained(f'{s3.url}/run', stop=10)
    folder, before = Path(local_folder(f'{s3.url}/run')), keys(s3)
    shutil.copytree(folder, 'before')
    with pytest.raises(Stop):
        trained(f'{s3.url}/run', resume=True, stop=14)
    shutil.copytree(folder, 'after')
    shutil.rmtree(folder)
    shutil.copytree('before', folder)
    assert resumed(trained(f'{s3.url}/run', resume=True)) == 'epoch_3.pth'
    shutil.rmtree(folder)
    shutil.copytree('after', folder)
    for name in set(keys(s3)) - set(before):
        location(f'{s3.url}/{name}').unlink()
    s3.put('run/iter_9.pth', before['run/iter_9.pth'])
    assert resumed(trained(f'{s3.url}/run', resume=True)) == 'epoch_3.pth'


def test_a_store_that_is_away_for_a_while_ends_nothing_and_has_all_in_the_end(s3, caplog):
    s3.server.only = lambda asked: asked.method == 'PUT' and asked.path.endswith('.pth')
    s3.server.faults = [503] * 9
    with caplog.at_level(logging.ERROR):
        runner = trained(f'{s3.url}/run')
    assert not s3.server.faults
    assert runner.mirror.failure is None
    assert keys(s3)['run/epoch_4.pth'] == Path(runner.work_dir, 'epoch_4.pth').read_bytes()


def test_what_could_not_be_copied_is_said_at_once_and_at_the_end(s3, capfd):
    s3.server.only = lambda asked: asked.method == 'PUT' and asked.path.endswith('epoch_4.pth')
    s3.server.always = 403
    with pytest.raises(RuntimeError, match=r'the work is done, but s3://.*/run lacks a part of it: .*no rights'):
        trained(f'{s3.url}/run')
    assert 'the work dir cannot be copied' in capfd.readouterr().out
    assert Path(local_folder(f'{s3.url}/run'), 'epoch_4.pth').is_file()
    assert not keys(s3).get('run/last_checkpoint', b'').endswith(b'epoch_4.pth')


@pytest.mark.parametrize('status', [403, 404])
def test_a_work_dir_that_cannot_be_written_is_an_error_before_training_and_leaves_nothing(s3, status):
    s3.server.only = lambda asked: asked.method == 'PUT'
    s3.server.always = status
    with pytest.raises(
        OSError, match='the work dir (cannot be written: .* no rights|is .*, but there is no such bucket)'
    ):
        trained(f'{s3.url}/run')
    assert not Path('work_dirs').exists()


def test_a_training_that_begins_refuses_an_address_that_holds_one(s3):
    trained(f'{s3.url}/run')
    shutil.rmtree('work_dirs')
    with pytest.raises(RuntimeError, match=f'{s3.url}/run holds checkpoints of an earlier training .*--resume'):
        trained(f'{s3.url}/run')


def test_the_best_checkpoint_takes_the_place_of_the_one_before_it_at_the_address_too(s3):
    scores = dict(top=[0.1, 0.2, 0.3, 0.2])
    with pytest.raises(Stop):
        trained(f'{s3.url}/run', stop=9, hook=dict(save_best='top'), scores=scores)
    assert 'run/best_top_epoch_2.pth' in keys(s3)
    shutil.rmtree('work_dirs')
    trained(f'{s3.url}/run', resume=True, hook=dict(save_best='top'), scores=dict(top=[0.3, 0.2]))
    assert [name for name in keys(s3) if 'best' in name] == ['run/best_top_epoch_3.pth']


class Preempt(Hook):
    """Asks the training to leave after its fifth iteration."""

    def after_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        if runner.iter == 4:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_preempted_run_has_its_last_checkpoint_at_the_address_when_it_leaves(s3):
    preemption = dict(type='PreemptionHook')
    checkpoint, same = dict(type='CheckpointHook', interval=1), dict(type='CheckpointFormatHook')
    hooks = dict(checkpoint=checkpoint, format=same, preemption=preemption)
    with pytest.raises(SystemExit, match='75'):
        toy_runner(f'{s3.url}/run', default_hooks=hooks, custom_hooks=[Preempt()], max_epochs=4).train()
    assert keys(s3)['run/last_checkpoint'] == f'{s3.url}/run/iter_5.pth'.encode()
    assert 'run/iter_5.pth' in keys(s3)


def test_a_machine_that_lacks_the_checkpoint_of_the_first_one_fetches_it(s3, tmp_path):
    runner = trained(f'{s3.url}/run')
    other = tmp_path / 'other/epoch_4.pth'
    other.parent.mkdir()
    for _ in range(2):
        mirrors.Mirror(other.parent, location(f'{s3.url}/run'), runner.logger).bring(other)
    assert other.read_bytes() == keys(s3)['run/epoch_4.pth']


def test_names_at_an_address_do_not_lead_out_of_the_folder(s3, tmp_path):
    with pytest.raises(Stop):
        trained(f'{s3.url}/run', stop=10)
    shutil.rmtree('work_dirs')
    for name in ('../../out.txt', f'/{tmp_path}/out.txt', '..\\out.txt'):
        s3.put(f'run/{name}', 'out')
    trained(f'{s3.url}/run', resume=True)
    assert not list(tmp_path.rglob('*out.txt'))


def test_a_folder_of_checkpoints_at_an_address_is_refused_with_the_work_dir_to_give(s3, tmp_path):
    with pytest.raises(ValueError, match=f'out_dir is {s3.url}/out, .*give --work-dir {s3.url}/out'):
        trained(tmp_path / 'run', hook=dict(out_dir=f'{s3.url}/out'))
