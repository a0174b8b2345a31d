"""The launcher of projects/ray_train trains as torchrun does."""

import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import skip_without
from processes import apart, train
from runs import ROOT, TINY, options

skip_without('ray')
TOOL = 'projects/ray_train/train.py'
TIME_LIMIT = 500


def difference(first: Path, second: Path) -> float:
    """The largest one of weights and of states of the optimizer."""
    return max(apart(first, second, part) for part in ('state_dict', 'optimizer'))


@pytest.fixture(scope='module')
def trained(motion, tmp_path_factory) -> tuple[Path, list[str]]:
    """Work dir of two processes of torchrun, and the words of the training."""
    work_dir = tmp_path_factory.mktemp('torchrun')
    words = options(motion, **{'train_dataloader.batch_size': 4, 'default_hooks.checkpoint.iterations': 1})
    train(2, work_dir, *words)
    return work_dir, words


def begin(work_dir: Path, words: list[str]) -> subprocess.Popen:
    """Begin the same in two processes of Ray's, with the log beside the work dir."""
    with work_dir.with_suffix('.log').open('w') as log:
        return subprocess.Popen(
            [sys.executable, TOOL, TINY, '--processes', '2', '--work-dir', str(work_dir), *words],
            cwd=ROOT,
            env=dict(os.environ, OMP_NUM_THREADS='1'),
            stdout=log,
            stderr=subprocess.STDOUT,
        )


@pytest.mark.long  # 33 s
def test_two_processes_of_ray_train_end_with_the_weights_of_torchrun(trained, tmp_path):
    work_dir, words = trained
    run = begin(tmp_path / 'ray', words)
    assert run.wait(TIME_LIMIT) == 0, (tmp_path / 'ray.log').read_text()[-3000:]
    assert difference(work_dir / 'epoch_2.pth', tmp_path / 'ray/epoch_2.pth') == 0


@pytest.mark.long
def test_a_killed_process_of_ray_train_restarts_all_and_the_weights_are_those_of_a_run_that_lost_none(
    trained, tmp_path
):
    work_dir, words = trained
    run = begin(tmp_path / 'ray', words)
    end = time.monotonic() + TIME_LIMIT
    while not list(tmp_path.glob('ray/iter_*.pth')):
        assert run.poll() is None, (tmp_path / 'ray.log').read_text()[-3000:]
        assert time.monotonic() < end
        time.sleep(0.01)
    found = re.match(r'process (\d+)', (tmp_path / 'ray/.lock').read_text())
    assert found
    os.kill(int(found[1]), signal.SIGKILL)
    assert run.wait(TIME_LIMIT) == 0
    assert f'resuming from {tmp_path}/ray/iter_' in (tmp_path / 'ray.log').read_text()
    assert difference(work_dir / 'epoch_2.pth', tmp_path / 'ray/epoch_2.pth') == 0


@pytest.mark.parametrize(('has', 'words'), [({'CPU': 4.0}, '4 CPUs'), ({'CPU': 64.0, 'GPU': 8.0}, '8 GPUs')])
def test_more_processes_than_the_cluster_has_are_refused(has, words, refused, motion, monkeypatch, tmp_path):
    import ray

    monkeypatch.setattr(ray, 'init', lambda **_: None)
    monkeypatch.setattr(ray, 'cluster_resources', lambda: has)
    given = [TINY, '--processes', 9, '--work-dir', tmp_path / 'run', *options(motion)]
    monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, given)])
    with refused(f'--processes is 9, but the cluster has {words}; give up to {words[0]}'):
        runpy.run_path(str(ROOT / TOOL), run_name='__main__')
    assert not (tmp_path / 'run').exists()
