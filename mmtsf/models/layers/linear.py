"""Linear layers."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: oneDNN's product, which PyTorch has for its compiler; None where it was built without
_ONEDNN = getattr(torch.ops.mkldnn, '_linear_pointwise', None) if torch.backends.mkldnn.is_available() else None


class Linear(nn.Linear):
    """``nn.Linear`` by :func:`linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """``(..., in_features)`` to ``(..., out_features)``."""
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.linear``; on CPUs in float32 by oneDNN, and not by MKL as PyTorch does.

    On an AMD processor MKL takes 1.5 to 2.2 times as long, forward and backward; see benchmarks/README.md.
    """
    if _ONEDNN is None or x.device.type != 'cpu' or x.dtype != torch.float32 or weight.dtype != torch.float32:
        return F.linear(x, weight, bias)
    if torch.is_autocast_enabled('cpu') or torch.compiler.is_compiling():
        return F.linear(x, weight, bias)
    return _Product.apply(x, weight, bias)


class _Product(torch.autograd.Function):
    """``x @ weight.T + bias`` by oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        rows = gradient.flatten(0, -2)
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight.T.contiguous()) if wants_x else None,
            _product(rows.T, x.flatten(0, -2).T) if wants_weight else None,
            rows.sum(dim=0) if wants_bias else None,
        )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    assert _ONEDNN is not None
    return _ONEDNN(x, weight, bias, 'none', [], 'none')
