"""Runs that are asked to leave, and go on where they were."""

import os
import signal
import stat
import subprocess
import time

import pytest
from kills import ROOT, Run, difference, result, write_config
from runs import TINY, options, run_tool


@pytest.fixture(scope='module')
def whole(motion, tmp_path_factory) -> Run:
    """A run that was left alone."""
    folder = tmp_path_factory.mktemp('whole')
    run = Run(write_config(folder, motion, epochs=2), folder / 'run')
    run.finish()
    return run


def wait_for(run: Run, words: str) -> None:
    """Wait until the log says so."""
    deadline = time.monotonic() + 60
    while words not in run.log.read_text():
        assert run.process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ('number', 'when', 'checkpoint', 'also_workers'),
    [
        (signal.SIGTERM, 'Epoch(train) [1][ 7/16]', 'iter_', False),
        (signal.SIGUSR1, 'Epoch(train) [2][ 2/16]', 'iter_', True),  # as Slurm sends it
        pytest.param(signal.SIGTERM, 'Epoch(train) [1][16/16]', 'epoch_1.pth', False, marks=pytest.mark.long),
    ],
    ids=['SIGTERM in training', 'SIGUSR1 to workers too', 'SIGTERM in validation'],
)
def test_a_signalled_run_leaves_a_checkpoint_and_goes_on_bit_for_bit(
    whole, number, when, checkpoint, also_workers, tmp_path
):
    run = Run(whole.config, tmp_path / 'run')
    run.start()
    wait_for(run, when)
    (os.killpg if also_workers else os.kill)(run.process.pid, number)
    assert run.process.wait(timeout=60) == 75
    assert f'stopped by a signal; --resume goes on from {run.work_dir}/{checkpoint}' in run.log.read_text()
    run.finish('--resume')
    assert difference(result(whole), result(run)) is None


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Folder on PATH with a Slurm that notes what it is asked; its tasks leave with the codes in ``codes``."""
    folder = tmp_path / 'slurm'
    folder.mkdir()
    srun = 'echo srun "$@" >> {0}/asked; read -r code < {0}/codes; sed -i 1d {0}/codes; exit "$code"'
    for name, script in (('srun', srun), ('scontrol', 'echo scontrol "$@" >> {0}/asked')):
        (folder / name).write_text('#!/usr/bin/env bash\n' + script.format(folder) + '\n')
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv('PATH', f'{folder}:{os.environ["PATH"]}')
    monkeypatch.delenv('SLURM_JOB_ID', raising=False)
    return folder


def slurm_train(cluster, *codes: int) -> tuple[int, list[str]]:
    """Exit code of tools/slurm_train.sh, and what it asked of Slurm."""
    (cluster / 'codes').write_text(''.join(f'{code}\n' for code in codes))
    command = ['bash', 'tools/slurm_train.sh', 'gpus', 'trial', TINY, '--seed', '1']
    code = subprocess.run(command, cwd=ROOT, timeout=60).returncode
    return code, (cluster / 'asked').read_text().splitlines()


def test_slurm_train_starts_again_what_was_asked_to_leave(cluster):
    code, asked = slurm_train(cluster, 75, 75, 0)
    assert code == 0
    assert [words.endswith('--seed 1 --resume') for words in asked] == [False, True, True]


def test_slurm_train_does_not_start_again_what_failed(cluster):
    code, asked = slurm_train(cluster, 1)
    assert code == 1
    assert len(asked) == 1


def test_slurm_train_has_a_batch_job_requeued(cluster, monkeypatch):
    monkeypatch.setenv('SLURM_JOB_ID', '42')
    code, asked = slurm_train(cluster, 75)
    assert code == 75
    assert asked[1:] == ['scontrol requeue 42']


@pytest.mark.parametrize(
    'variable', [pytest.param('SLURM_RESTART_COUNT', marks=pytest.mark.long), 'TORCHELASTIC_RESTART_COUNT']
)
def test_a_run_that_is_started_again_by_its_launcher_resumes(variable, whole, monkeypatch, tmp_path, motion):
    monkeypatch.setenv(variable, '1')
    words = ('tools/train.py', TINY, '--work-dir', tmp_path / 'run', *options(motion, max_epochs=1))
    assert 'has no checkpoint: starting anew' in run_tool(*words)
    assert f'resuming from {tmp_path}/run/epoch_1.pth' in run_tool(*words)
