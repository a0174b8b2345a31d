"""Skip updates whose loss or gradient is not finite."""

import math
from typing import Any

import torch.distributed as dist
from mmengine import optim
from mmengine.dist import is_distributed
from torch import Tensor
from torch.distributed.tensor import DTensor

from mmtsf.registry import OPTIM_WRAPPERS


class FiniteUpdates(optim.OptimWrapper):
    """For optimizer wrappers: an update is skipped if its gradient, or a loss in any process, is not finite.

    Where gradients are accumulated it is skipped with all its batches.
    """

    #: Whether the last batch's loss, or the gradient it completed, was not finite
    skipped = False
    #: Whether a batch of the update that is accumulated was skipped
    spoilt = False

    def update_params(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Backward pass and step, if the loss is finite in all processes."""
        finite = loss.detach().isfinite().all().int()
        if is_distributed():
            dist.all_reduce(finite, dist.ReduceOp.MIN)
        self.skipped = not bool(finite)
        self.spoilt |= self.skipped
        if not self.spoilt:
            super().update_params(loss, *args, **kwargs)
            return
        self._inner_count += 1
        if self.should_update():
            self.zero_grad()
            self.spoilt = False


@OPTIM_WRAPPERS.register_module()
class OptimWrapper(FiniteUpdates):
    """MMEngine's :class:`mmengine.optim.OptimWrapper`, which skips updates that are not finite."""

    def step(self, **kwargs: Any) -> None:
        """Clip and step, unless the gradient's norm is not finite; it is known where gradients are clipped."""
        norm = self._clip_grad() if self.clip_grad_kwargs else None
        if norm is not None and not math.isfinite(norm):
            self.skipped = True
            return
        self.optimizer.step(**kwargs)

    def _clip_grad(self) -> float | None:
        """Clip, and log the norm, of parameters that may be shared out among processes."""
        parameters = [p for group in self.optimizer.param_groups for p in group['params'] if p.grad is not None]
        norm = self.clip_func(parameters, **self.clip_grad_kwargs)
        if norm is None:  # which clip_grad_value_ does not tell
            return None
        whole = float(norm.full_tensor() if isinstance(norm, DTensor) else norm)
        self.message_hub.update_scalar('train/grad_norm', whole)
        return whole


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(FiniteUpdates, optim.AmpOptimWrapper):
    """MMEngine's :class:`mmengine.optim.AmpOptimWrapper`, which skips losses that are not finite; the scaler of the
    loss looks after the gradients."""
