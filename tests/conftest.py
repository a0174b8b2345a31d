"""Set-up of every test."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from runs import run_tool

import mmtsf  # noqa: F401  # registers


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
