"""Set-up of every test."""

import gc
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import warm

from mmtsf.utils.imports import for_prediction

if not torch.cuda.is_available():
    os.environ['TRITON_INTERPRET'] = '1'  # before anything imports Triton: its kernels run on the CPU
with for_prediction():  # before MMEngine is imported otherwise: each of pytest's processes would take 5 seconds more
    from mmaction.models import BaseRecognizer

from fork_server import leave_unformatted
from helpers import MOTION_CLASSES
from mmengine.registry import init_default_scope
from object_store import s3, s3_server, web  # noqa: F401
from runs import ROOT, TINY, run_tool
from without_torchvision import timm  # noqa: F401

from mmtsf.apis import init_recognizer
from mmtsf.config import load_config
from mmtsf.registry import MODELS

leave_unformatted()
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has jobs in the background ignore it


def pytest_configure(config: pytest.Config) -> None:
    """Begin the warm process of all workers before there are any."""
    if config.getoption('dist', 'no') != 'no' and not hasattr(config, 'workerinput'):
        os.environ[warm.SOCKET] = warm.begin()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker('gpu'):
            item.add_marker(pytest.mark.skip(reason='no CUDA device'))


@pytest.fixture(scope='module', autouse=True)
def little_to_look_through() -> None:
    """Leave what is there before a file's tests, all modules and the tests themselves, out of the search for garbage.

    MMEngine has it searched for each data set, and Python now and then: that took more than half of the time of a
    training in seconds.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def scope_and_seed() -> None:
    """Names in configs are looked up from mmtsf on, and random weights are the same in every run."""
    init_default_scope('mmtsf')
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def motion(tmp_path_factory) -> Path:
    """Folder of motion videos: 8 to train on, 2 to validate and 3 to test with, of each of 4 classes."""
    folder = tmp_path_factory.mktemp('motion')
    run_tool('tools/data/make_motion.py', folder, '--videos', 8, 2, 3)
    return folder


@pytest.fixture(scope='session')
def tiny_checkpoint(tmp_path_factory) -> Path:
    """Random weights of the quickstart's model, with the names of its classes."""
    init_default_scope('mmtsf')  # this fixture comes before the one above
    torch.manual_seed(0)
    config = load_config(str(ROOT / TINY)).model
    model = MODELS.build(config)
    model.init_weights()
    path = tmp_path_factory.mktemp('model') / 'tiny.pth'
    meta = dict(backbone=config.backbone.to_dict(), dataset_meta=dict(classes=MOTION_CLASSES))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path


@pytest.fixture
def model(tiny_checkpoint) -> BaseRecognizer:
    """The quickstart's model with those weights."""
    return init_recognizer(ROOT / TINY, tiny_checkpoint, 'cpu')


@pytest.fixture
def refused(capsys) -> Callable:
    """A context in which a tool ends with exit code 2 and a line that matches, as for a wrong option."""

    @contextmanager
    def refused(words: str) -> Iterator[None]:
        with pytest.raises(SystemExit) as end:
            yield
        *_, line = capsys.readouterr().err.splitlines()
        assert end.value.code == 2
        assert re.search(words, line), line

    return refused
