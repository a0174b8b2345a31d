"""What a user sees of a mistake is one line, of a fault its traceback, and of several processes one of them."""

import errno
import re
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import ROOT, TINY, log_of, options, run_tool
from torch.utils.data import DataLoader

from mmtsf.config import load_config
from mmtsf.datasets.decoders import open_video
from mmtsf.registry import DATASETS, MODELS
from mmtsf.utils.mistakes import mistake


class Faulty:
    """A data set with a fault of the program."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        return {}['none']


class Broken(Faulty):
    """One whose video is broken."""

    def __getitem__(self, index: int) -> int:
        open_video('/none.mp4')
        return 0


def of(function: Callable, *words: object) -> str | None:
    """The line for what a call raises."""
    with pytest.raises(Exception) as raised:  # noqa: PT011
        function(*words)
    return mistake(raised.value)


def config_of(tmp_path, text: str) -> str | None:
    path = tmp_path / 'mine.py'
    path.write_text(f"_base_ = '{ROOT / TINY}'\n{text}\n")
    return of(load_config, path)


def test_an_error_in_a_config_file_names_file_and_line(tmp_path):
    assert (
        config_of(tmp_path, 'x = undefined')
        == f"{tmp_path}/mine.py, line 2: NameError: name 'undefined' is not defined"
    )
    assert config_of(tmp_path, 'x = 1 +') == f'invalid syntax ({tmp_path}/mine.py, line 2)'
    assert config_of(tmp_path, 'import nopackage').startswith(f'{tmp_path}/mine.py, line 2: ModuleNotFoundError')


def test_what_a_registry_and_a_component_refuse_is_one_line():
    assert of(MODELS.build, dict(type='TimeSformr')).startswith('TimeSformr is not in the mmtsf::model registry')
    words = of(MODELS.build, dict(type='TimeSformer', attention=dict(type='DividedAttention'), depht=3))
    assert words.startswith('in the config, TimeSformer: ')
    assert "unexpected keyword argument 'depht'" in words
    words = dict(type='VideoFolderDataset', pipeline=[], split='train', num_classes=2, data_root='/none')
    assert '/none' in of(DATASETS.build, words)


def test_what_the_machine_lacks_is_one_line():
    assert of(lambda: np.ones(10**15)).startswith('out of memory: ')
    assert of(lambda: torch.empty(10**15)).startswith('out of memory: ')
    assert mistake(torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB. More')).startswith(
        'out of memory: CUDA out of memory; '
    )
    missing = mistake(ModuleNotFoundError(name='gradio'))
    assert missing.startswith('the package gradio is missing; pip install gradio==')
    assert mistake(OSError(errno.ENOSPC, 'No space left on device')) == '[Errno 28] No space left on device'
    with socket.socket() as first, socket.socket() as second:
        first.bind(('127.0.0.1', 0))
        first.listen()
        assert of(second.bind, first.getsockname()).endswith('the port is in use; give another one')


@pytest.mark.parametrize(('data', 'line'), [(Broken(), '/none.mp4: there is no such file'), (Faulty(), None)])
def test_of_a_data_worker_a_broken_video_is_one_line_and_a_fault_is_none(data, line):
    found = of(next, iter(DataLoader(data, num_workers=1)))
    assert found == line or (line and found.startswith('/none.mp4: '))


def test_what_is_not_raised_on_purpose_is_a_fault():
    assert of(lambda: {}['x']) is None
    assert of(lambda: 1 / 0) is None
    assert of(lambda: torch.ones(2) @ torch.ones(3)) is None
    assert mistake(ConnectionError('by peer')) is None
    assert mistake(ModuleNotFoundError(name='mmtsf.none')) is None


FAULT = """
from mmengine.hooks import Hook
from mmtsf.registry import HOOKS

@HOOKS.register_module()
class FaultyHook(Hook):
    def after_train_iter(self, runner, *args, **kwargs):
        return {}['a fault']
"""


@pytest.mark.parametrize('processes', [1, 2])
def test_a_fault_in_mid_training_keeps_its_traceback_once_and_in_the_log(processes, motion, tmp_path, monkeypatch):
    (tmp_path / 'faulty_hook.py').write_text(FAULT)
    monkeypatch.setenv('PYTHONPATH', f'{ROOT}:{tmp_path}')
    config = tmp_path / 'mine.py'
    config.write_text(
        f"_base_ = '{ROOT / TINY}'\ncustom_imports = dict(imports=['mmtsf', 'faulty_hook'])\n"
        "custom_hooks = [dict(type='FaultyHook')]\n"
    )
    tool = ['tools/train.py', config] if processes == 1 else ['tools/dist_train.sh', config, processes]
    out = run_tool(*tool, '--work-dir', tmp_path / 'run', *options(motion), fails=True)
    assert out.count('Traceback (most recent call last)') == 1
    assert out.count("KeyError: 'a fault'") == 1
    assert "KeyError: 'a fault'" in log_of(tmp_path / 'run')


def test_the_screen_of_a_training_is_short_and_the_log_is_complete(motion, tmp_path):
    out = run_tool('tools/train.py', TINY, '--work-dir', tmp_path, *options(motion))
    lines = out.splitlines()
    begin = [line.partition(':')[0] for line in lines if not line.startswith('epoch')]
    assert begin[:8] == [
        'data to train on',
        'data to validate with',
        'model',
        'global batch 8 = 1 process x 8 clips x 1 accumulated step',
        'precision',
        'schedule',
        'warning',
        'log',
    ]
    assert lines[0].startswith('data to train on: 32 videos of 4 classes (left, ')
    assert f'32 found in {motion}' in lines[0]
    assert 'from random weights' in out
    assert 'schedule: 2 epochs of 4 iterations, ' in out
    assert 'warning: 8 updates of the weights in all: expect little' in out
    assert re.search(r'after 4 iterations: .* clips/s; .* waiting for data; peak memory .*; left 0:00:\d\d', out)
    assert 'broken: 0 of 32 videos so far' in out
    epochs = [line for line in lines if line.startswith('epoch')]
    assert [line[:9] for line in epochs] == ['epoch 1/2', 'epoch 2/2']
    assert all('acc/top1' in line for line in epochs)
    assert lines[-3:-2] == [f'curves: {tmp_path}/curves.png']
    assert (tmp_path / 'curves.png').stat().st_size > 1000
    config, checkpoint = re.fullmatch(r'next: mmtsf test (\S+) (\S+) --work-dir \S+', lines[-2]).groups()
    assert Path(config).is_file()
    assert Path(checkpoint).is_file()
    assert lines[-1] == f'next: mmtsf predict VIDEO {config} {checkpoint}'
    assert len(lines) < 15
    log = log_of(tmp_path)
    for words in (
        'System environment',
        'Config:',
        'Hooks will be executed',
        'Epoch(train) [1][4/4]',
        *lines,
    ):
        assert words in log
