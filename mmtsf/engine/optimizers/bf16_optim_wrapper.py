"""Compute updates under bfloat16 autocast, on any device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mmtsf.registry import OPTIM_WRAPPERS

from .finite_updates import OptimWrapper


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """Updates under bfloat16 autocast, on GPUs and, unlike ``AmpOptimWrapper``, on CPUs.

    bfloat16 has the range of float32, so the loss needs no scaling. Takes the arguments of
    :class:`mmengine.optim.OptimWrapper`.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
