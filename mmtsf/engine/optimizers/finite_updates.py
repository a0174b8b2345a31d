"""Skip updates whose loss or gradient is not finite, without waiting for the device."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from mmengine import optim
from mmengine.dist import is_distributed
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from mmtsf import compat
from mmtsf.engine.scalars import log_later
from mmtsf.registry import OPTIM_WRAPPERS

from .low_memory import refuse_others_of_8_bits


@OPTIM_WRAPPERS.register_module()
class OptimWrapper(optim.OptimWrapper):
    """MMEngine's wrapper, which skips an update if its gradient, or a loss in any process, is not finite.

    Where gradients are accumulated it is skipped with all its batches. PyTorch's fused optimizers skip it on the device
    and nobody waits (:func:`step_unless`). The gradient's norm, before any clipping, tells whether it is finite.

    Takes the arguments of :class:`mmengine.optim.OptimWrapper`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        refuse_others_of_8_bits(self.optimizer)
        zero = torch.zeros((), device=self.optimizer.param_groups[0]['params'][0].device)
        #: 1 if the last batch's loss, or the gradient it completed, was not finite, else 0; on the device
        self.not_finite = zero
        self._spoilt = zero  # 1 if any was of the update that is accumulated

    @property
    def skipped(self) -> bool:
        """Whether the last batch's loss, or the gradient it completed, was not finite; waits for the device."""
        return bool(self.not_finite)

    def update_params(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Backward pass, and step if all is finite in all processes."""
        self.not_finite = (~loss.detach().isfinite()).any().float()
        if is_distributed():
            dist.all_reduce(self.not_finite, dist.ReduceOp.MAX)
        self._spoilt = torch.maximum(self._spoilt.to(loss.device), self.not_finite)
        super().update_params(loss, *args, **kwargs)
        if self.should_update():
            self._spoilt = torch.zeros_like(self._spoilt)

    def step(self, **kwargs: Any) -> None:
        """Clip, and step unless the loss or the gradient's norm is not finite."""
        overflown = (~self._clip_grad(self._spoilt).isfinite()).float()
        self.not_finite = torch.where(self._spoilt > 0, self.not_finite, overflown)
        self._spoilt = torch.maximum(self._spoilt, overflown)
        step_unless(self._spoilt, self.optimizer, **kwargs)

    def _clip_grad(self, skip: Tensor) -> Tensor:
        """Clip, if asked to, parameters that may be shared out among processes; log the norm unless ``skip`` is 1."""
        parameters = [p for group in self.optimizer.param_groups for p in group['params'] if p.grad is not None]
        if self.clip_grad_kwargs and self.clip_func is nn.utils.clip_grad_norm_:
            norm = self.clip_func(parameters, **self.clip_grad_kwargs)
        else:
            norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            if self.clip_grad_kwargs:
                self.clip_func(parameters, **self.clip_grad_kwargs)
        whole = norm.full_tensor() if isinstance(norm, DTensor) else norm
        log_later(self.message_hub, 'train/grad_norm', whole, unless=skip)
        return whole

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """MMEngine's: processes exchange gradients once an update, those of a shared-out model as well."""
        if isinstance(model, FSDPModule):
            model.set_requires_gradient_sync(self.should_sync())
        with super().optim_context(model):
            yield


def step_unless(skip: Tensor, optimizer: Optimizer, **kwargs: Any) -> None:
    """Step, unless ``skip`` is 1; then weights, states and counters stay exactly as they are.

    Fused optimizers that have their states look at it on the device. Others, and fused SGD of shards, which PyTorch
    lacks, are asked here, which waits for it; so is the first step, for fused SGD would take whatever lies in memory
    for its momentum.
    """
    groups = optimizer.param_groups
    has_states = bool(optimizer.state) or all(group.get('momentum') == 0 for group in groups)
    if has_states and all(group.get('fused') for group in groups) and compat.takes_found_inf(optimizer):
        with compat.found_inf_of(optimizer, skip):
            optimizer.step(**kwargs)
    elif not skip:
        optimizer.step(**kwargs)
