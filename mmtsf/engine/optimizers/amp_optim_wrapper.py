"""Compute updates in mixed precision: float16 with a scaled loss, or bfloat16, on any device."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mmtsf import compat
from mmtsf.registry import OPTIM_WRAPPERS

from .finite_updates import OptimWrapper, step_unless

#: Of a loss: a scale of 0, to which overflows without end would halve it, makes finite gradients NaN
LEAST_SCALE = 2.0**-10


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """Updates under bfloat16 autocast.

    bfloat16 has the range of float32, so the loss needs no scaling. Takes the arguments of
    :class:`mmengine.optim.OptimWrapper`.
    """

    cast_dtype = torch.bfloat16

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, self.cast_dtype):
            yield


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(Bf16OptimWrapper):
    """Updates under autocast with a scaled loss, whose gradients would vanish in float16.

    An update whose gradient overflows is skipped in all processes and halves the scale: which is usual, and so not
    named. Where the scale is below 1 already, or stays, it counts as not finite. Works where the model is whole in
    every process and where it is shared out.

    Args:
        loss_scale (str | float | dict): ``'dynamic'``; a number that stays; or arguments of
            :class:`torch.amp.GradScaler`. Defaults to ``'dynamic'``.
        dtype (str | torch.dtype): Defaults to ``'float16'``.
        **kwargs: Arguments of :class:`mmengine.optim.OptimWrapper`.

    Raises:
        ValueError: If ``loss_scale`` or ``dtype`` is something else.
    """

    def __init__(
        self, loss_scale: str | float | dict = 'dynamic', dtype: str | torch.dtype = 'float16', **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not (loss_scale == 'dynamic' or isinstance(loss_scale, (int, float, dict))):
            raise ValueError(f"loss_scale is {loss_scale!r}, expected 'dynamic', a number or a dict for GradScaler")
        kinds = {str(kind).split('.')[1]: kind for kind in (torch.float16, torch.bfloat16)}
        if dtype not in (*kinds, *kinds.values()):
            raise ValueError(f"dtype is {dtype!r}, expected 'float16' or 'bfloat16'")
        self.cast_dtype = kinds[dtype] if isinstance(dtype, str) else dtype
        self._fixed_scale = float(loss_scale) if isinstance(loss_scale, (int, float)) else None
        options = loss_scale if isinstance(loss_scale, dict) else {}
        self._least_scale = min(LEAST_SCALE, options.get('init_scale', LEAST_SCALE))
        options = options if self._fixed_scale is None else dict(init_scale=self._fixed_scale)
        self.loss_scaler = torch.amp.GradScaler(self._spoilt.device.type, **options)

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Backward pass of the scaled loss."""
        super().backward(self.loss_scaler.scale(loss), **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Undo the scale, clip, and step unless a loss was not finite or a gradient of any process overflowed."""
        self.loss_scaler.unscale_(self.optimizer)
        overflown = compat.found_inf(self.loss_scaler, self.optimizer)
        skip = torch.maximum(self._spoilt, overflown)
        scale = self.loss_scaler.scale(torch.ones_like(overflown))
        is_usual = scale >= 1 if self._fixed_scale is None else torch.zeros_like(scale)
        self.not_finite = torch.where(is_usual > 0, self.not_finite, torch.maximum(self.not_finite, overflown))
        self._clip_grad(skip)
        step_unless(skip, self.optimizer, **kwargs)
        self.loss_scaler.update(self._fixed_scale)
        if self._fixed_scale is None:
            scale = self.loss_scaler.scale(torch.ones_like(overflown))
            self.loss_scaler.update(scale.clamp(min=self._least_scale))

    def state_dict(self) -> dict:
        """MMEngine's, with the scaler's state as MMEngine has it."""
        return dict(super().state_dict(), loss_scaler=self.loss_scaler.state_dict())

    def load_state_dict(self, state_dict: dict) -> None:
        """Undo :meth:`state_dict`; without a scaler's state, as from a run in another precision, it begins anew."""
        state_dict = dict(state_dict)
        if scaler := state_dict.pop('loss_scaler', None):
            self.loss_scaler.load_state_dict(scaler)
        super().load_state_dict(state_dict)
