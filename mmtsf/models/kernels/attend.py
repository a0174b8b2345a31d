"""Scaled dot-product attention by the kernel that measures best; see benchmarks/attention.py."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

#: Scores that the products hold at once: 4 MB in bfloat16, which stays in the caches
SCORES = 2**21


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of queries ``(N, heads, Lq, c)`` over keys and values ``(N, heads, L, c)``, of the queries' shape.

    On CPUs PyTorch's fused kernel is the best in float32; in bfloat16 batched products are 1.7 to 3 times as fast, a
    few groups at a time, so that no more than ``SCORES`` scores are held. Elsewhere, with a mask and in exports it is
    the fused kernel.

    Args:
        q (Tensor): Queries.
        k (Tensor): Keys.
        v (Tensor): Values.
        mask (Tensor, optional): ``(N, 1, 1, L)``, true where a key may be seen. Defaults to None: all may.
    """
    small = q.device.type == 'cpu' and q.dtype == torch.bfloat16
    if not small or mask is not None or torch.compiler.is_compiling():
        return F.scaled_dot_product_attention(q, k, v, mask)
    with torch.autocast('cpu', enabled=False):  # it would take the scores to float32 and back
        return _Products.apply(q, k, v)


class _Products(torch.autograd.Function):
    """Batched products, a few groups at a time, whose scores the backward pass computes once more."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        ctx.save_for_backward(q, k, v)
        mixed = torch.empty_like(q)
        for groups, rows in _parts(q, k):
            keys, values = k[groups].contiguous().transpose(-2, -1), v[groups].contiguous()
            for row in rows:
                mixed[groups, :, row] = _weights(q[groups, :, row], keys) @ values
        return mixed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        q, k, v = ctx.saved_tensors
        scale = q.shape[-1] ** -0.5
        grad_q, grad_k, grad_v = (torch.empty_like(x) for x in (q, k, v))
        for groups, rows in _parts(q, k):
            keys, values = k[groups].contiguous(), v[groups].contiguous()
            of_keys, of_values = [], []
            for row in rows:
                queries, part = q[groups, :, row], gradient[groups, :, row].contiguous()
                weights = _weights(queries, keys.transpose(-2, -1))
                of_scores = torch._softmax_backward_data(part @ values.transpose(-2, -1), weights, -1, weights.dtype)
                of_scores *= scale
                grad_q[groups, :, row] = of_scores @ keys
                of_keys.append(of_scores.transpose(-2, -1) @ queries)
                of_values.append(weights.transpose(-2, -1) @ part)
            grad_k[groups], grad_v[groups] = _sum(of_keys), _sum(of_values)
        return grad_q, grad_k, grad_v


def _weights(queries: Tensor, keys: Tensor) -> Tensor:
    return (queries * queries.shape[-1] ** -0.5 @ keys).softmax(dim=-1)


def _sum(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum(dim=0)


def _parts(q: Tensor, k: Tensor) -> Iterator[tuple[slice, list[slice]]]:
    """A few groups at a time and all their queries, or where one is too large, a few of its queries at a time."""
    num_groups, heads, num_queries, _ = q.shape
    scores = heads * num_queries * k.shape[2]
    groups = max(SCORES // scores, 1)
    rows = min(max(SCORES * num_queries // scores, 1), num_queries)
    for group in range(0, num_groups, groups):
        yield slice(group, group + groups), [slice(row, row + rows) for row in range(0, num_queries, rows)]
