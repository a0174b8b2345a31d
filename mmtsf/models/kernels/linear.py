"""Products of linear layers, and of a convolution that is one."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtsf import compat

from .plain import is_plain


class Repeat:
    """A computation that the backward pass does once more, with the same operands.

    Args:
        compute (Callable): Takes the operands; holds nothing that may change.
        operands (Tensor, optional): Its input and weights.
    """

    def __init__(self, compute: Callable[..., Tensor], *operands: Tensor | None) -> None:
        self.compute = compute
        self.operands = operands
        self.versions = self._versions()

    def __call__(self) -> Tensor:
        """Compute it.

        Raises:
            RuntimeError: If an operand was changed in place, as PyTorch does of what it has saved.
        """
        if self.versions != self._versions():
            raise RuntimeError(
                'one of the variables needed for gradient computation has been modified by an inplace operation: the '
                'input, weight or bias of a norm or an activation; change it after the backward pass'
            )
        return self.compute(*self.operands)

    def _versions(self) -> list[int]:
        return [compat.version(operand) for operand in self.operands if operand is not None]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, again: Repeat | None = None) -> Tensor:
    """``F.linear``, under autocast as well; on CPUs in float32 by oneDNN, and not by MKL as PyTorch does.

    On an AMD processor MKL takes 1.5 to 2.2 times as long, forward and backward; see benchmarks/.

    Args:
        x (Tensor): ``(..., in)``.
        weight (Tensor): ``(out, in)``.
        bias (Tensor, optional): ``(out,)``. Defaults to None.
        again (Repeat, optional): Computes ``x`` once more in the backward pass, which then is not kept. Defaults to
            None: it is kept.
    """
    device = x.device.type
    if torch.compiler.is_compiling():
        return F.linear(x, weight, bias)
    if torch.is_autocast_enabled(device):
        x, weight, bias = (_lower(value, torch.get_autocast_dtype(device)) for value in (x, weight, bias))
    if not _fit(x, weight, bias):
        return F.linear(x, weight, bias)  # which says so, or knows what to do
    if not torch.is_grad_enabled():
        return _product(x, weight, bias)
    y = _Linear.apply(x.reshape(-1, x.shape[-1]), weight, bias)
    if again is not None and weight.requires_grad:
        compat.replace_saved(y, 0, _repeat(again, device, x.dtype))
    return y.view(*x.shape[:-1], -1)  # of a function's own output no view may be changed in place


def embed_patches(frames: Tensor, patch: nn.Module) -> Tensor:
    """``patch(frames)``, channels last, ``(N, h, w, C)``.

    On GPUs it is a product of all patches' pixels, where ``patch`` is a plain convolution of windows side by side.

    Args:
        frames (Tensor): ``(N, 3, H, W)``.
        patch (nn.Module): Maps them to ``(N, C, h, w)``.
    """
    if frames.device.type == 'cpu' or type(patch) is not nn.Conv2d or not is_plain(frames, patch):
        return patch(frames).permute(0, 2, 3, 1)
    if patch.stride != patch.kernel_size or patch.padding != (0, 0) or patch.dilation != (1, 1) or patch.groups != 1:
        return patch(frames).permute(0, 2, 3, 1)
    return patches_by_product(frames, patch)


def patches_by_product(frames: Tensor, patch: nn.Conv2d) -> Tensor:
    """:func:`embed_patches` of a plain convolution of windows side by side."""
    device = frames.device.type
    if torch.is_autocast_enabled(device):
        frames = _lower(frames, torch.get_autocast_dtype(device))
    height, width = patch.kernel_size
    windows = frames.unflatten(3, (-1, width)).unflatten(2, (-1, height))  # (N, 3, h, p, w, p)
    return linear(windows.permute(0, 2, 4, 1, 3, 5).flatten(3), patch.weight.flatten(1), patch.bias)


def _fit(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether operands are those of a plain product: oneDNN asks no more, and takes others for something else."""
    if weight.ndim != 2 or x.shape[-1:] != weight.shape[1:] or not x.numel() or not len(weight):
        return False
    if bias is not None and (bias.shape != weight.shape[:1] or bias.dtype != weight.dtype or bias.device != x.device):
        return False
    return weight.layout == x.layout == torch.strided and weight.device == x.device


def _lower(value: Tensor | None, dtype: torch.dtype) -> Any:
    """What autocast makes of an operand."""
    return value if value is None or value.dtype == torch.float64 else value.to(dtype)


def _repeat(again: Repeat, device: str, dtype: torch.dtype) -> Callable[[], Tensor]:
    """``again`` as it is computed now, without a graph."""
    low, enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)

    def repeated() -> Tensor:
        with torch.no_grad(), torch.autocast(device, low, enabled):
            repeated_x = again().to(dtype)
            return repeated_x.reshape(-1, repeated_x.shape[-1])

    return repeated


class _Linear(torch.autograd.Function):
    """Keeps what a backward pass needs, and in second derivatives is PyTorch's own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        wants_x, wants_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(x if wants_weight else None, weight if wants_x else None)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        product = F.linear if torch.is_grad_enabled() or _is_watched(gradient) else _product
        x, weight = ctx.saved_tensors
        grad_x = grad_weight = None
        if wants_weight:
            grad_weight = product(gradient.T, x.T)
        del x
        if wants_x:
            grad_x = product(gradient, weight.T)
        return grad_x, grad_weight, gradient.sum(dim=0) if wants_bias else None


def _is_watched(gradient: Tensor) -> bool:
    return compat.is_transformed(gradient) or compat.is_dispatched()


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if x.device.type != 'cpu' or not x.dtype == weight.dtype == torch.float32 or not compat.has_onednn():
        return F.linear(x, weight, bias)
    return compat.onednn_linear(x.contiguous(), weight, bias)
