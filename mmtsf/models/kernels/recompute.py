"""Linear layers."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: oneDNN's product, which PyTorch has for its compiler; None where it was built without
_ONEDNN = getattr(torch.ops.mkldnn, '_linear_pointwise', None) if torch.backends.mkldnn.is_available() else None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.linear``; on CPUs in float32 by oneDNN, and not by MKL as PyTorch does.

    On an AMD processor MKL takes 1.5 to 2.2 times as long, forward and backward; see benchmarks/.
    """
    return linear_after(_same, x, weight, bias)


def linear_after_norm(x: Tensor, norm: nn.LayerNorm | None, layer: nn.Linear) -> Tensor:
    """``layer(norm(x))`` that keeps ``x`` alone for the backward pass, and normalises again there."""
    if norm is None:
        return linear(x, layer.weight, layer.bias)
    shape, eps = norm.normalized_shape, norm.eps

    def normalise(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return F.layer_norm(x, shape, scale, shift, eps)

    return linear_after(normalise, x, layer.weight, layer.bias, norm.weight, norm.bias)


def _same(x: Tensor) -> Tensor:
    return x


def linear_after(
    before: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None, *parameters: Tensor
) -> Tensor:
    """``F.linear(before(x, *parameters), weight, bias)``, keeping ``x`` alone for the backward pass.

    Args:
        before (Callable): Something cheap, which the backward pass does again, e.g. an activation.
        x (Tensor): ``(..., C)``.
        weight (Tensor): Of the linear layer.
        bias (Tensor, optional): Of the linear layer.
        parameters (Tensor): Of ``before``; all that it needs a gradient for must be among them.
    """
    if torch.compiler.is_compiling() or x.is_meta:
        return F.linear(before(x, *parameters), weight, bias)
    device = x.device.type
    if torch.is_autocast_enabled(device):
        low = torch.get_autocast_dtype(device)
        weight, bias = weight.to(low), None if bias is None else bias.to(low)
    with torch.autocast(device, enabled=False):
        return _LinearAfter.apply(before, x, weight, bias, *parameters)


class _LinearAfter(torch.autograd.Function):
    """A linear layer after something cheap, whose result is not kept."""

    @staticmethod
    def forward(
        ctx: Any, before: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None, *parameters: Tensor
    ) -> Tensor:
        ctx.before = before
        ctx.save_for_backward(x, weight, *parameters)
        return _product(before(x, *parameters).to(weight.dtype).contiguous(), weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, *parameters = ctx.saved_tensors
        _, wants_x, wants_weight, wants_bias, *wants = ctx.needs_input_grad
        rows = gradient.flatten(0, -2)  # a product of strided groups would take the weight once for each group
        inputs = [value.detach().requires_grad_(want) for value, want in zip((x, *parameters), (wants_x, *wants))]
        with torch.enable_grad():
            features = ctx.before(*inputs).to(weight.dtype)
        grad_weight = _product(rows.T, features.detach().flatten(0, -2).T) if wants_weight else None
        grads: Iterator[Tensor] = iter(())
        if wanted := [value for value in inputs if value.requires_grad]:
            grad_features = _product(rows, weight.T.contiguous()).view_as(features)
            grads = iter(torch.autograd.grad(features, wanted, grad_features))
        grad_x, *others = [next(grads) if value.requires_grad else None for value in inputs]
        return None, grad_x, grad_weight, rows.sum(dim=0) if wants_bias else None, *others


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if _ONEDNN is None or x.device.type != 'cpu' or x.dtype != torch.float32:
        return F.linear(x, weight, bias)
    return _ONEDNN(x, weight, bias, 'none', [], 'none')
