"""Triton kernels for attention within short groups, whose members are read where they lie."""

from contextlib import nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .in_place import padded, tile_of

#: Queries of a tile at a time, forward and back, so that scores fit into registers beside what is accumulated
QUERIES = {64: (64, 64), 128: (128, 64), 256: (64, 32)}
#: Warps, forward and back
WARPS = {64: (4, 4), 128: (8, 8), 256: (4, 8)}
#: Triton's names of the types of numbers
NAMES = {torch.bfloat16: 'bf16', torch.float16: 'fp16', torch.float32: 'fp32'}


@triton.jit
def _rows_of(rows, place, tile, num_groups, groups_a_clip, members, tokens, GROUPS: tl.constexpr):
    """Group within the tile, group, member, token and validity of the rows at ``place`` of a tile of whole groups."""
    local = place // members
    member = place % members
    group = tile * GROUPS + local
    valid = (local < GROUPS) & (group < num_groups)
    clip = group // groups_a_clip
    of_clip = tl.load(rows + (group % groups_a_clip) * members + member, mask=valid, other=0)
    return local, group, member, clip.to(tl.int64) * tokens + of_clip, valid


@triton.jit
def _dot(x, y, OPERANDS: tl.constexpr, PRECISION: tl.constexpr):
    return tl.dot(x.to(OPERANDS), y.to(OPERANDS), input_precision=PRECISION)


@triton.jit
def _weights(x, y, scale, local_x, local_y, KEYS: tl.constexpr, OPERANDS: tl.constexpr, PRECISION: tl.constexpr):
    """Softmax over the keys' axis of scores of queries and keys of one group, zero elsewhere, in float32."""
    scores = _dot(x, tl.trans(y), OPERANDS, PRECISION) * scale
    scores = tl.where(local_x[:, None] == local_y[None, :], scores, float('-inf'))
    weights = tl.exp(scores - tl.expand_dims(tl.max(scores, axis=KEYS), KEYS))
    return weights / tl.expand_dims(tl.sum(weights, axis=KEYS), KEYS)


@triton.jit(do_not_specialize=['num_groups'])  # which comes with the batch
def _forward(
    qkv,
    rows,
    mixed,
    of_cls,
    num_groups,
    groups_a_clip,
    members,
    tokens,
    heads,
    width,
    scale,
    WITH_CLS: tl.constexpr,
    GROUPS: tl.constexpr,
    ROWS: tl.constexpr,
    QUERIES: tl.constexpr,
    WIDTH: tl.constexpr,
    OPERANDS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Mix the values of one tile's groups for one head and some of its queries."""
    tile, head = tl.program_id(0), tl.program_id(1)
    place_q = tl.program_id(2) * QUERIES + tl.arange(0, QUERIES)
    channel = tl.arange(0, WIDTH)[None, :]
    wide = heads * width
    local_q, group_q, member_q, token_q, valid_q = _rows_of(
        rows, place_q, tile, num_groups, groups_a_clip, members, tokens, GROUPS
    )
    local_k, _, _, token_k, valid_k = _rows_of(
        rows, tl.arange(0, ROWS), tile, num_groups, groups_a_clip, members, tokens, GROUPS
    )
    mask_q = valid_q[:, None] & (channel < width)
    mask_k = valid_k[:, None] & (channel < width)
    queries = qkv + token_q[:, None] * 3 * wide + head * width + channel
    keys = qkv + token_k[:, None] * 3 * wide + head * width + channel
    q = tl.load(queries, mask=mask_q, other=0.0)
    k = tl.load(keys + wide, mask=mask_k, other=0.0)
    v = tl.load(keys + 2 * wide, mask=mask_k, other=0.0)
    weights = _weights(q, k, scale, local_q, local_k, 1, OPERANDS, PRECISION)
    out = _dot(weights.to(v.dtype), v, OPERANDS, PRECISION)
    is_cls = (member_q == 0)[:, None] & WITH_CLS
    tl.store(mixed + token_q[:, None] * wide + head * width + channel, out.to(v.dtype), mask=mask_q & ~is_cls)
    if WITH_CLS:
        tl.store(of_cls + group_q.to(tl.int64)[:, None] * wide + head * width + channel, out, mask=mask_q & is_cls)


@triton.jit(do_not_specialize=['num_groups'])
def _backward(
    qkv,
    rows,
    share,
    gradient,
    grad_qkv,
    of_cls,
    num_groups,
    groups_a_clip,
    members,
    tokens,
    heads,
    width,
    scale,
    WITH_CLS: tl.constexpr,
    GROUPS: tl.constexpr,
    ROWS: tl.constexpr,
    QUERIES: tl.constexpr,
    WIDTH: tl.constexpr,
    OPERANDS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Gradients of queries, keys and values of one tile's groups for one head: weights are computed once more."""
    tile, head = tl.program_id(0), tl.program_id(1)
    channel = tl.arange(0, WIDTH)[None, :]
    wide = heads * width
    local_k, group_k, member_k, token_k, valid_k = _rows_of(
        rows, tl.arange(0, ROWS), tile, num_groups, groups_a_clip, members, tokens, GROUPS
    )
    mask_k = valid_k[:, None] & (channel < width)
    at_k = token_k[:, None] * 3 * wide + head * width + channel
    k = tl.load(qkv + at_k + wide, mask=mask_k, other=0.0)
    v = tl.load(qkv + at_k + 2 * wide, mask=mask_k, other=0.0)
    grad_k = tl.zeros([ROWS, WIDTH], dtype=tl.float32)
    grad_v = tl.zeros([ROWS, WIDTH], dtype=tl.float32)
    for first in range(0, ROWS, QUERIES):
        local, group, member, token, valid = _rows_of(
            rows, first + tl.arange(0, QUERIES), tile, num_groups, groups_a_clip, members, tokens, GROUPS
        )
        mask = valid[:, None] & (channel < width)
        at = token[:, None] * 3 * wide + head * width + channel
        q = tl.load(qkv + at, mask=mask, other=0.0)
        of_mixed = tl.load(gradient + token[:, None] * wide + head * width + channel, mask=mask, other=0.0)
        is_cls = (member == 0)[:, None] & WITH_CLS
        if WITH_CLS:  # its row is the sum of its copies, each with its share
            part = tl.load(share + group, mask=valid, other=0.0)
            of_mixed = tl.where(is_cls, of_mixed * part[:, None], of_mixed.to(tl.float32)).to(k.dtype)
        # keys x queries, so that the products have many rows
        weights = _weights(k, q, scale, local_k, local, 0, OPERANDS, PRECISION)
        grad_v += _dot(weights.to(k.dtype), of_mixed, OPERANDS, PRECISION)
        of_weights = _dot(v, tl.trans(of_mixed), OPERANDS, PRECISION)
        of_scores = weights * (of_weights - tl.sum(weights * of_weights, axis=0)[None, :]) * scale
        of_scores = of_scores.to(k.dtype)
        grad_k += _dot(of_scores, q, OPERANDS, PRECISION)
        grad_q = tl.trans(_dot(tl.trans(k), of_scores, OPERANDS, PRECISION))
        tl.store(grad_qkv + at, grad_q.to(k.dtype), mask=mask & ~is_cls)
        if WITH_CLS:
            at_cls = group.to(tl.int64)[:, None] * 3 * wide + head * width + channel
            tl.store(of_cls + at_cls, grad_q, mask=mask & is_cls)
    is_cls = (member_k == 0)[:, None] & WITH_CLS
    tl.store(grad_qkv + at_k + wide, grad_k.to(k.dtype), mask=mask_k & ~is_cls)
    tl.store(grad_qkv + at_k + 2 * wide, grad_v.to(k.dtype), mask=mask_k & ~is_cls)
    if WITH_CLS:
        at_cls = group_k.to(tl.int64)[:, None] * 3 * wide + head * width + channel
        tl.store(of_cls + at_cls + wide, grad_k, mask=mask_k & is_cls)
        tl.store(of_cls + at_cls + 2 * wide, grad_v, mask=mask_k & is_cls)


#: Whether the kernels run on the CPU, in Triton's interpreter, which multiplies no bfloat16
IS_INTERPRETED = not isinstance(_forward, triton.JITFunction)


def forward(qkv: Tensor, rows: Tensor, share: Tensor | None, heads: int) -> Tensor:
    """Mix values ``(B, N, heads*c)``; see :func:`mmtsf.models.kernels.in_place.attend_in_place`."""
    sizes = _Sizes(qkv, rows, heads)
    mixed = qkv.new_empty(*qkv.shape[:2], sizes.wide)
    if not len(qkv):
        return mixed
    of_cls = sizes.copies(qkv, share, sizes.wide)
    grid, arguments, options = sizes.launch(qkv, share, back=False)
    with _current(qkv.device):
        _forward[(grid[0], heads, grid[1])](qkv, rows, mixed, of_cls, *arguments, **options)
    if share is None:
        mixed[:, 0] = 0
    else:
        mixed[:, 0] = (of_cls * share[:, None]).view(len(qkv), len(rows), sizes.wide).sum(dim=1)
    return mixed


def backward(qkv: Tensor, rows: Tensor, share: Tensor | None, gradient: Tensor, heads: int) -> Tensor:
    """Gradient of ``qkv`` of the gradient of :func:`forward`'s result."""
    sizes = _Sizes(qkv, rows, heads)
    grad_qkv = torch.empty_like(qkv)
    if not len(qkv):
        return grad_qkv
    of_cls = sizes.copies(qkv, share, 3 * sizes.wide)
    grid, arguments, options = sizes.launch(qkv, share, back=True)
    shares = qkv if share is None else share
    with _current(qkv.device):
        _backward[(grid[0], heads)](qkv, rows, shares, gradient, grad_qkv, of_cls, *arguments, **options)
    grad_qkv[:, 0] = 0 if share is None else of_cls.view(len(qkv), len(rows), 3 * sizes.wide).sum(dim=1)
    return grad_qkv


class _Sizes:
    """Sizes of a launch: of queries, keys and values ``(B, N, 3*heads*c)`` and groups ``(G, L)``."""

    def __init__(self, qkv: Tensor, rows: Tensor, heads: int) -> None:
        self.tokens, self.heads, self.wide = qkv.shape[1], heads, qkv.shape[2] // 3
        self.groups_a_clip, self.members = rows.shape
        self.groups = len(qkv) * self.groups_a_clip
        self.tile = tile_of(self.members)

    def copies(self, qkv: Tensor, share: Tensor | None, wide: int) -> Tensor:
        """Room for the classification token's copies, one a group; any tensor where there are none."""
        return qkv if share is None else torch.empty(self.groups, wide, dtype=torch.float32, device=qkv.device)

    def launch(self, qkv: Tensor, share: Tensor | None, back: bool) -> tuple[tuple[int, int], tuple, dict[str, Any]]:
        """Tiles and parts of each, and the kernels' last arguments."""
        width, groups = self.wide // self.heads, self.tile // self.members
        low = qkv.dtype != torch.float32 or torch.get_float32_matmul_precision() != 'highest'
        options = constants(self.tile, width, groups, share is not None, NAMES[qkv.dtype], back, low)
        sizes = (self.groups, self.groups_a_clip, self.members, self.tokens, self.heads, width)
        return (triton.cdiv(self.groups, groups), self.tile // options['QUERIES']), (*sizes, width**-0.5), options


def constants(tile: int, width: int, groups: int, with_cls: bool, dtype: str, back: bool, low: bool = True) -> dict:
    """What the kernels are compiled for.

    Args:
        tile (int): Rows of a tile.
        width (int): Channels of a head.
        groups (int): Whole groups of a tile.
        with_cls (bool): Whether the classification token is the first member of each group.
        dtype (str): Triton's name of the operands' type.
        back (bool): Whether it is the backward pass.
        low (bool): Whether products of float32 may be tf32. Defaults to True.
    """
    return dict(
        WITH_CLS=with_cls,
        GROUPS=groups,
        ROWS=tile,
        QUERIES=QUERIES[tile][back],
        WIDTH=padded(width),
        OPERANDS=tl.float32 if IS_INTERPRETED else tl.dtype(dtype),
        PRECISION='tf32' if low else 'ieee',
        num_warps=WARPS[tile][back],
    )


def _current(device: torch.device) -> Any:
    """Where Triton launches, which asks for PyTorch's current GPU."""
    return torch.cuda.device(device) if device.type == 'cuda' else nullcontext()
