"""Scaled dot-product attention by the kernel that measures best; see benchmarks/attention.py."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmtsf import compat

from .in_place import attend_in_place, attends_in_place
from .plain import is_plain

#: Scores that the products hold at once: 4 MB in bfloat16, which stays in the caches
SCORES = 2**21
#: Groups that PyTorch's flash and efficient kernels take: the limit of a grid's second axis (pytorch 142228, 146704)
MAX_GROUPS = 65535


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of queries ``(N, heads, Lq, c)`` over keys and values ``(N, heads, L, c)``, of the queries' shape.

    On GPUs short groups have a kernel of their own, and others PyTorch's. On CPUs it is PyTorch's fused kernel, but in
    bfloat16, where batched products are 1.7 to 3 times as fast, a few groups at a time, so that no more than ``SCORES``
    scores are held; and but for the transforms of ``torch.func``, for which the kernel has no second derivatives, and
    on CPUs for PyTorch's FLOP counter, which does not know it. On CPUs plain tensors have them.

    Args:
        q (Tensor): Queries.
        k (Tensor): Keys.
        v (Tensor): Values.
    """
    is_counted = not torch.compiler.is_compiling() and compat.is_dispatched() and q.device.type == 'cpu'
    if compat.is_transformed(q) or is_counted:
        return _weights(q, k.transpose(-2, -1)) @ v
    if q.device.type != 'cpu':
        return _on_gpu(q, k, v)
    if not is_plain(q) or not q.numel():
        return F.scaled_dot_product_attention(q, k, v)
    if q.dtype == torch.bfloat16:
        with torch.autocast('cpu', enabled=False):  # it would take the scores to float32 and back
            return _Products.apply(q, k, v)
    if torch.is_grad_enabled() and compat.has_flash_attention():
        return _Flash.apply(q, k, v)
    return F.scaled_dot_product_attention(q, k, v)


def _on_gpu(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Short groups by the kernel that puts several into a tile, others by the one that PyTorch chooses, which measured
    best at the shapes of all schemes."""
    num_groups, heads, members, width = k.shape
    lacking = members - q.shape[2]
    if lacking in (0, 1) and attends_in_place(q, members, width, q.dtype):  # a member of a group may ask nothing
        packed = torch.stack([F.pad(q, (0, 0, lacking, 0)), k, v]).permute(1, 3, 0, 2, 4).flatten(2)
        rows = torch.arange(members, device=q.device, dtype=torch.int32)[None]
        mixed = attend_in_place(packed, rows, q.new_ones(num_groups, dtype=torch.float32), heads)
        return mixed[:, lacking:].unflatten(2, (heads, width)).transpose(1, 2)
    if num_groups <= MAX_GROUPS:
        return F.scaled_dot_product_attention(q, k, v)
    parts = zip(*(x.split(MAX_GROUPS) for x in (q, k, v)))
    return torch.cat([F.scaled_dot_product_attention(*part) for part in parts])


class _Flash(torch.autograd.Function):
    """PyTorch's kernel for CPUs, with second derivatives."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mixed, logsumexp = compat.flash_attention(q, k, v)
        ctx.save_for_backward(q, k, v, mixed, logsumexp)
        return mixed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        q, k, v, mixed, logsumexp = ctx.saved_tensors
        if torch.is_grad_enabled() or compat.is_transformed(gradient) or compat.is_dispatched():
            return _gradients(q, k, v, gradient)
        return compat.flash_attention_backward(gradient, q, k, v, mixed, logsumexp)


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
        if torch.is_grad_enabled() or compat.is_transformed(gradient) or compat.is_dispatched():
            return _gradients(q, k, v, gradient)
        grad_q, grad_k, grad_v = (torch.empty_like(x) for x in (q, k, v))
        for groups, rows in _parts(q, k):
            keys, values = k[groups].contiguous(), v[groups].contiguous()
            of_keys, of_values = [], []
            for row in rows:
                queries, part = q[groups, :, row], gradient[groups, :, row].contiguous()
                grad_q[groups, :, row], of_key, of_value = _gradients(queries, keys, values, part)
                of_keys.append(of_key)
                of_values.append(of_value)
            grad_k[groups], grad_v[groups] = _sum(of_keys), _sum(of_values)
        return grad_q, grad_k, grad_v


def _weights(queries: Tensor, keys: Tensor) -> Tensor:
    return (queries * queries.shape[-1] ** -0.5 @ keys).softmax(dim=-1)


def _gradients(queries: Tensor, keys: Tensor, values: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values, of operations that have gradients themselves."""
    weights = _weights(queries, keys.transpose(-2, -1))
    of_weights = gradient @ values.transpose(-2, -1)
    of_scores = compat.softmax_backward(of_weights, weights) * queries.shape[-1] ** -0.5
    return of_scores @ keys, of_scores.transpose(-2, -1) @ queries, weights.transpose(-2, -1) @ gradient


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
