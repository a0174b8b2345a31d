"""Scaled dot-product attention by the kernel that measures best; see benchmarks/attention.py."""

import torch
import torch.nn.functional as F
from torch import Tensor

#: Scores that the products hold at once: 4 MB in bfloat16, which stays in the caches
SCORES = 2**21
#: Longest axis whose scores training keeps for the backward pass
KEPT_LENGTH = 256


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
        if not torch.is_grad_enabled():
            return _in_parts(q, k, v)
        if k.shape[2] <= KEPT_LENGTH:
            return _by_products(q, k, v)
    return F.scaled_dot_product_attention(q, k, v)


def _by_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(dim=-1) @ v


def _in_parts(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """A few groups at a time, or where one group is too large, a few of its queries."""
    n, heads, num_queries, channels = q.shape
    scores = heads * num_queries * k.shape[2]
    groups = max(SCORES // scores, 1)
    rows = min(max(SCORES * num_queries // scores, 1), num_queries)
    mixed = q.new_empty(n, num_queries, heads, channels).transpose(1, 2)
    for group in range(0, n, groups):
        part = slice(group, group + groups)
        for row in range(0, num_queries, rows):
            some = slice(row, row + rows)
            mixed[part, :, some] = _by_products(q[part, :, some], k[part], v[part])
    return mixed
