"""Compile the blocks of a backbone by ``torch.compile``: one piece of code that all of them share."""

import inspect
import logging
from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from .in_place import lacking

#: What ``compiled`` may be
COMPILED = (True, False, 'auto')
#: Pieces of code that all modules which are compiled by themselves may have together: PyTorch's 8 are too few for
#: models of several sizes in one process
RECOMPILES = 64


def is_due(compiled: bool | str, tokens: Tensor, runs_long: bool) -> bool:
    """Whether blocks are to be compiled before tokens go through them.

    Args:
        compiled (bool | str): What was asked for; ``'auto'``: on a GPU, for what runs long. Where a GPU lacks what
            compiling takes, a warning says so, once.
        tokens (Tensor): On the device.
        runs_long (bool): Whether this is a training, or as long as one.
    """
    if compiled is False or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    if compiled is True:
        return True
    if not runs_long or tokens.device.type != 'cuda':
        return False
    if missing := lacking(tokens.device):
        _warn(missing)
    return not missing


@cache
def _warn(missing: str) -> None:
    print_log(f'blocks are not compiled, and train more slowly: {missing}', 'current', logging.WARNING)


def compile_blocks(blocks: Iterable[nn.Module], device: torch.device, **options: Any) -> None:
    """Compile blocks at their next call, in place. Names and values of their weights stay as they are.

    Args:
        blocks (Iterable[nn.Module]): Blocks of one class and one size.
        device (torch.device): Where they compute.
        options: Of ``torch.compile``.
    """
    blocks = list(blocks)
    drops: list[Any] = [module for block in blocks for module in block.modules() if hasattr(module, 'share_code')]
    if any(module.rate for module in drops):
        for module in drops:
            module.share_code(device)
    if 'recompile_limit' in inspect.signature(torch.compile).parameters:
        options = dict(recompile_limit=RECOMPILES) | options
    for block in blocks:
        block.compile(**options)
