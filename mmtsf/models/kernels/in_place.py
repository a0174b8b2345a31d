"""Attention within short groups of tokens that are read where they lie: no token is moved before or after.

PyTorch's fused kernels give each group a tile of 64 to 128 rows, of which 8 frames fill a sixteenth, and want the
members of a group side by side. These kernels (:mod:`mmtsf.models.kernels.tiles`, Triton) put whole groups into a tile.
"""

import os
import shutil
import sysconfig
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from mmtsf import compat

from .plain import TENSORS

#: Types of numbers that the kernels compute in, and how much room they take; exact products of float32 take the most
SIZES = {torch.bfloat16: 1, torch.float16: 1, torch.float32: 4}
#: Rows of a tile; the longest group has as many members as the largest tile has rows
TILES = (64, 128, 256)
#: Numbers of a tile's keys that a program has room for, by the GPU's number: of Hopper and of Blackwell in data
#: centres, and of others. Compiled for each, kernels of this size spill no more than some bytes of their registers
ROOM, LITTLE_ROOM = 16384, 8192
ROOMS: dict[int, int] = {}
HAS_TRITON = find_spec('triton') is not None


@cache
def lacking(device: torch.device) -> str | None:
    """What a GPU lacks to run kernels that are compiled when they are used; None if nothing."""
    if not HAS_TRITON:
        return 'there is no Triton; install the package triton'
    if not (os.environ.get('CC') or any(map(shutil.which, ('gcc', 'clang', 'cc')))):
        return 'there is no C compiler, which Triton needs; install gcc'
    if not os.path.exists(os.path.join(sysconfig.get_path('include'), 'Python.h')):
        return 'there is no Python.h, which Triton needs; install python3-dev'
    if torch.version.hip:
        return 'its kernels were made for GPUs of NVIDIA'
    if torch.cuda.get_device_capability(device) < (7, 0):
        return f'Triton knows no {torch.cuda.get_device_name(device)}'
    return None


def ask_gpu(device: torch.device) -> None:
    """Find out what kernels a GPU has, once, and outside of compiled code, which looks up what was found."""
    if device.type == 'cuda' and device.index not in ROOMS:
        generation = torch.cuda.get_device_capability(device)[0]
        room = ROOM if generation in (9, 10) else LITTLE_ROOM if generation >= 8 else 0
        ROOMS[device.index] = 0 if lacking(device) else room


def attends_in_place(tokens: Tensor, members: int, width: int, dtype: torch.dtype | None = None) -> bool:
    """Whether :func:`attend_in_place` takes groups of so many members, with heads of so many channels.

    Args:
        tokens (Tensor): On the device, of which plain tensors of a GPU are taken, but not under the transforms of
            ``torch.func``, in an export, or where a mode such as PyTorch's FLOP counter looks at each operation.
        members (int): Members of a group.
        width (int): Channels of a head.
        dtype (torch.dtype, optional): Of queries, keys and values. Defaults to None: what a linear layer makes of the
            tokens.
    """
    device = tokens.device
    if device.type != 'cuda' or torch.compiler.is_exporting() or torch.jit.is_tracing():
        return False
    if not torch.compiler.is_compiling():
        if compat.is_dispatched() or compat.is_transformed(tokens) or type(tokens) not in TENSORS:
            return False
        ask_gpu(device)
    if dtype is None:
        low = torch.is_autocast_enabled(device.type) and tokens.dtype != torch.float64
        dtype = torch.get_autocast_dtype(device.type) if low else tokens.dtype
    return has_tile(members, width, dtype, device)


def has_tile(members: int, width: int, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether a GPU that was asked (:func:`ask_gpu`) has kernels for groups of so many members, with heads of so many
    channels, in numbers of a type."""
    size, room = SIZES.get(dtype, 0), ROOMS.get(device.index, 0)
    if not size or members > TILES[-1] or not 8 <= width <= 128:
        return False
    return tile_of(members) * padded(width) * size <= room


def tile_of(members: int) -> int:
    """Rows of the tile for groups of so many members."""
    return next(rows for rows in TILES if members <= rows)


def padded(width: int) -> int:
    """Channels that a program takes for a head."""
    return max(16, 1 << (width - 1).bit_length())


def attend_in_place(qkv: Tensor, rows: Tensor, share: Tensor | None, heads: int) -> Tensor:
    """Attention of every token within its own group (Equations 5 to 7 of the paper), ``(B, N, heads*c)``.

    Args:
        qkv (Tensor): Queries, keys and values of the tokens of B clips ``(B, N, 3*heads*c)``.
        rows (Tensor): Which tokens of a clip make up each of its groups, ``(G, L)`` int32; each token is in one group,
            but the first one, which is in none, or with ``share`` the first of all.
        share (Tensor, optional): Weights ``(B*G,)`` float32 by which what the first token's copies give is added.
            Defaults to None: it is in no group, and its row is zero.
        heads (int): Number of heads.

    A token that is not finite may spoil others of its tile, also of another clip. Compiled code has no second
    derivatives, see ``compiled=False`` of :class:`TimeSformer`.
    """
    return _attend(qkv, rows, share, heads)


@torch.library.custom_op('mmtsf::attend_in_place', mutates_args=())
def _attend(qkv: Tensor, rows: Tensor, share: Tensor | None, heads: int) -> Tensor:
    return _tiles().forward(qkv.contiguous(), rows, share, heads)


@torch.library.custom_op('mmtsf::attend_in_place_backward', mutates_args=())
def _attend_backward(qkv: Tensor, rows: Tensor, share: Tensor | None, gradient: Tensor, heads: int) -> Tensor:
    return _tiles().backward(qkv.contiguous(), rows, share, gradient.contiguous(), heads)


@_attend.register_fake
def _(qkv: Tensor, rows: Tensor, share: Tensor | None, heads: int) -> Tensor:
    return qkv.new_empty(*qkv.shape[:2], qkv.shape[2] // 3)


@_attend_backward.register_fake
def _(qkv: Tensor, rows: Tensor, share: Tensor | None, gradient: Tensor, heads: int) -> Tensor:
    return torch.empty_like(qkv, memory_format=torch.contiguous_format)


def _keep(ctx: Any, inputs: tuple, output: Tensor) -> None:
    qkv, rows, share, ctx.heads = inputs
    ctx.save_for_backward(qkv, rows, share)


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
    qkv, rows, share = ctx.saved_tensors
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # by operations that have gradients themselves
        mixed = attend_by_operations(qkv, rows, share, ctx.heads)
        return *torch.autograd.grad(mixed, qkv, gradient, create_graph=True), None, None, None
    return _attend_backward(qkv, rows, share, gradient, ctx.heads), None, None, None


_attend.register_autograd(_gradients, setup_context=_keep)


def attend_by_operations(qkv: Tensor, rows: Tensor, share: Tensor | None, heads: int) -> Tensor:
    """:func:`attend_in_place` by PyTorch's operations, which have derivatives of any order."""
    (clips, tokens, wide), (groups, members) = qkv.shape, rows.shape
    taken = qkv.index_select(1, rows.flatten()).view(clips, groups, members, 3, heads, wide // 3 // heads)
    q, k, v = taken.permute(3, 0, 1, 4, 2, 5)
    weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1)
    mixed = (weights @ v).transpose(2, 3).flatten(3)
    if share is not None:
        shares = torch.ones_like(mixed[..., :1])
        shares[:, :, 0, 0] = share.view(clips, groups)
        mixed = mixed * shares
    return mixed.new_zeros(clips, tokens, wide // 3).index_add(1, rows.flatten(), mixed.flatten(1, 2))


def _tiles() -> Any:
    from . import tiles  # imports Triton

    return tiles
