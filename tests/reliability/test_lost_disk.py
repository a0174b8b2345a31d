"""Trainings whose machine is lost, disk and all, go on from the address of their work dir."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.fileio import exists
from runs import ROOT, TINY, free_port, log_of, options

import mmtsf.fileio  # noqa: F401

CONFIG = str(ROOT / TINY)


def begin(folder: Path, work_dir: str, processes: int, *words: str) -> subprocess.Popen:
    """Start a training in a folder; all of its processes are in one group."""
    folder.mkdir(exist_ok=True)
    command = ['bash', str(ROOT / 'tools/dist_train.sh'), CONFIG, str(processes), '--work-dir', work_dir, *words]
    environment = dict(os.environ, OMP_NUM_THREADS='1', PORT=str(free_port()), PYTHON=sys.executable)
    with (folder / 'log').open('a') as log:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def finish(run: subprocess.Popen, folder: Path) -> None:
    assert run.wait(300) == 0, (folder / 'log').read_text()[-3000:]


@pytest.mark.long
@pytest.mark.parametrize('processes', [1, 2])
def test_a_run_that_was_killed_with_its_disk_ends_bit_for_bit_like_one_that_was_not(processes, s3, motion, tmp_path):
    words = options(motion, max_epochs=3)
    finish(begin(tmp_path / 'whole', 'run', processes, *words), tmp_path / 'whole')
    lost = begin(tmp_path / 'lost', f'{s3.url}/run', processes, *words)
    end = time.monotonic() + 200
    while not exists(f'{s3.url}/run/epoch_1.pth') and time.monotonic() < end:
        time.sleep(0.05)
    os.killpg(lost.pid, signal.SIGKILL)
    lost.wait()
    other = tmp_path / 'other'  # an empty disk
    finish(begin(other, f'{s3.url}/run', processes, '--resume', *words), other)
    folder = other / 'work_dirs' / s3.url.replace('://', '/') / 'run'
    assert 'resuming from' in log_of(folder)
    ends, expected = (torch.load(path / 'epoch_3.pth', weights_only=True) for path in (folder, tmp_path / 'whole/run'))
    for part in ('state_dict', 'optimizer'):
        assert json.dumps(_plain(ends[part])) == json.dumps(_plain(expected[part]))
    assert exists(f'{s3.url}/run/epoch_3.pth')


def _plain(value: object) -> object:
    """Tensors as lists, for a comparison of all that is nested."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    return {str(key): _plain(item) for key, item in value.items()} if isinstance(value, dict) else str(value)


@pytest.mark.long
def test_of_a_store_that_refuses_the_last_checkpoint_all_processes_tell_and_end(s3, motion, tmp_path):
    s3.server.only = lambda asked: asked.method == 'PUT' and asked.path.endswith('epoch_2.pth')
    s3.server.always = 403
    run = begin(tmp_path / 'run', f'{s3.url}/run', 2, *options(motion))
    assert run.wait(300) == 2
    said = (tmp_path / 'run/log').read_text()
    assert 'the work dir cannot be copied: ' in said
    assert f'the work is done, but {s3.url}/run lacks a part of it: ' in said
    assert exists(f'{s3.url}/run/epoch_1.pth')
