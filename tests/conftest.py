"""Set-up of every test."""

import pytest
import torch
from mmengine.registry import init_default_scope

import mmtsf  # noqa: F401  # registers


@pytest.fixture(autouse=True)
def scope_and_seed() -> None:
    """Names in configs are looked up from mmtsf on, and random weights are the same in every run."""
    init_default_scope('mmtsf')
    torch.manual_seed(0)
