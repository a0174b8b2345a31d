"""Runs that are asked to leave, and go on where they were."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kills import ROOT, Run, difference, result, write_config
from processes import WarmRun, children, start
from runs import TINY, log_of, options, run_tool


@pytest.fixture(scope='module')
def whole(motion, tmp_path_factory) -> Run:
    """A run that was left alone."""
    folder = tmp_path_factory.mktemp('whole')
    run = WarmRun(write_config(folder, motion, epochs=2), folder / 'run')
    run.finish()
    return run


def wait_for(run: Run, words: str) -> None:
    """Wait until the log says so."""
    deadline = time.monotonic() + 60
    while words not in log_of(run.work_dir):
        assert run.process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ('number', 'when', 'checkpoint', 'also_workers'),
    [
        pytest.param(  # 7 s; two processes get one below
            signal.SIGTERM, 'Epoch(train) [1][ 7/16]', 'iter_', False, marks=pytest.mark.long
        ),
        (signal.SIGUSR1, 'Epoch(train) [2][ 2/16]', 'iter_', True),  # as Slurm sends it
        # as a terminal sends it, 7 s; a Ctrl-C before the first iteration gets one below
        pytest.param(signal.SIGINT, 'Epoch(train) [1][ 5/16]', 'iter_', True, marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, 'Epoch(train) [1][16/16]', 'epoch_1.pth', False, marks=pytest.mark.long),
    ],
    ids=['SIGTERM in training', 'SIGUSR1 to workers too', 'Ctrl-C', 'SIGTERM in validation'],
)
def test_a_signalled_run_leaves_a_checkpoint_and_goes_on_bit_for_bit(
    whole, number, when, checkpoint, also_workers, tmp_path
):
    run = WarmRun(whole.config, tmp_path / 'run')
    run.start()
    wait_for(run, when)
    (os.killpg if also_workers else os.kill)(run.process.pid, number)
    assert run.process.wait(timeout=60) == (130 if number == signal.SIGINT else 75)
    assert f'stopped by a signal; --resume goes on from {run.work_dir}/{checkpoint}' in run.log.read_text()
    assert 'Traceback' not in run.log.read_text()
    run.finish('--resume')
    assert difference(result(whole), result(run)) is None


@pytest.mark.parametrize(
    ('number', 'code'), [(signal.SIGINT, 130), pytest.param(signal.SIGUSR1, 75, marks=pytest.mark.long)]
)
def test_a_signal_before_the_first_iteration_is_one_line(number, code, whole, tmp_path):
    run = WarmRun(whole.config, tmp_path / 'run')
    run.start()
    wait_for(run, 'System environment')
    os.kill(run.process.pid, number)
    assert run.process.wait(timeout=60) == code
    assert 'Traceback' not in run.log.read_text()
    assert run.log.read_text().splitlines()[-1] == 'stopped by a signal before the first iteration'


def test_a_second_training_in_a_work_dir_is_refused_while_the_first_one_lives(whole, tmp_path):
    first, second = (WarmRun(whole.config, tmp_path / 'run') for _ in range(2))
    first.start()
    wait_for(first, 'Epoch(train) [1][ 3/16]')
    first.process.send_signal(signal.SIGSTOP)  # it lives, for as long as the others take
    second.log = tmp_path / 'second.log'
    before = {path.name for path in first.work_dir.iterdir() if path.is_dir()}
    for words in ((), ('--resume',)):
        second.finish(*words, expected=2)
    assert f'another training (process {first.process.pid} on ' in second.log.read_text()
    assert 'choose another folder with --work-dir' in second.log.read_text()
    assert {path.name for path in first.work_dir.iterdir() if path.is_dir()} == before
    first.process.kill()  # the lock goes with it, whatever its data workers do
    first.process.wait()
    second.finish('--resume')
    assert difference(result(whole), result(second)) is None


def started(motion, folder: Path) -> tuple[subprocess.Popen, Path]:
    """A long training in two processes that has begun, and its log."""
    run = start(folder / 'run', *options(motion, **{'default_hooks.logger.interval': 1, 'max_epochs': 50}))
    log = folder / 'run.log'
    while 'Epoch(train)' not in log_of(folder / 'run'):
        assert run.poll() is None, log.read_text()[-2000:]
        time.sleep(0.05)
    return run, log


@pytest.mark.parametrize(
    ('number', 'code'),
    [(signal.SIGTERM, 75), pytest.param(signal.SIGINT, 130, marks=pytest.mark.long)],
    ids=['SIGTERM', 'Ctrl-C'],
)
def test_a_signal_to_torchrun_is_handed_on_and_its_code_handed_out(number, code, motion, tmp_path):
    run, log = started(motion, tmp_path)
    run.send_signal(number)
    assert run.wait(timeout=60) == code
    assert 'stopped by a signal; --resume goes on from' in log.read_text()
    assert 'Traceback' not in log.read_text()
    assert list((tmp_path / 'run').glob('iter_*.pth'))


def test_a_signal_to_one_process_of_torchrun_is_its_code_too(motion, tmp_path):
    run, _ = started(motion, tmp_path)
    os.kill(children(run.pid)[-1], signal.SIGTERM)
    assert run.wait(timeout=60) == 75


@pytest.mark.long
def test_a_launcher_that_starts_again_resumes_nothing_of_an_earlier_one(motion, tmp_path):
    words = options(motion, max_epochs=1)
    assert start(tmp_path / 'run', *words, processes=1).wait(120) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / 'run').glob('*.pth')}
    again = start(tmp_path / 'run', *words, 'max_epochs=2', processes=1, MAX_RESTARTS=2)
    assert again.wait(240) == 2
    assert 'holds checkpoints of an earlier training' in (tmp_path / 'run.log').read_text()
    assert {path.name: path.read_bytes() for path in (tmp_path / 'run').glob('*.pth')} == before


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
    monkeypatch.setenv('PYTHON', sys.executable)
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


def test_slurm_train_hands_a_signal_on_and_leaves_with_its_code(cluster):
    (cluster / 'srun').write_text(
        '#!/usr/bin/env bash\n'
        f"trap 'echo asked to leave >> {cluster}/asked; exit 75' USR1 TERM\n"
        f'echo srun "$@" >> {cluster}/asked\nwhile :; do sleep 0.1; done\n'
    )
    run = subprocess.Popen(['bash', 'tools/slurm_train.sh', 'gpus', 'trial', TINY], cwd=ROOT)
    while not (cluster / 'asked').exists():
        time.sleep(0.05)
    run.send_signal(signal.SIGTERM)
    assert run.wait(timeout=20) == 75
    assert [line.split()[0] for line in (cluster / 'asked').read_text().splitlines()] == ['srun', 'asked']


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
