"""Attention with rotary positions of a frame's patches (DINOv3, arXiv 2508.10104)."""

import math
from typing import Any

import torch
from torch import Tensor

from mmtsf.registry import MODELS

from .attention_step import AttentionStep
from .made_once import made_once
from .tokens import Grid


@MODELS.register_module()
class RotaryStep(AttentionStep):
    """An attention step that turns queries and keys by angles which grow with a patch's height and width.

    A patch's place is that of its middle, from -1 to 1 along either axis, whatever the size of the frame; a quarter of
    the channels' pairs turns by the height, another by the width, and a channel's partner is half a head away. Leading
    tokens are not turned. Of the two axes those turn that number the members of a group: a step over time alone has
    none.

    Args:
        base (float): Ratio of the highest to the lowest frequency, nearly. Defaults to 100 (DINOv3).
        kwargs: See :class:`AttentionStep`.
    """

    def __init__(self, base: float = 100.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.head_dims % 4:
            raise ValueError(f'rotary positions need heads of a multiple of 4 channels, not {self.head_dims}')
        self.base = base
        self.axes = ''.join(axis for axis in 'hw' if axis in self.grouping.members.split())

    def queries_keys_values(self, tokens: Tensor, grid: Grid) -> Any:
        """As :meth:`AttentionStep.queries_keys_values`, with positions."""
        q, k, v = super().queries_keys_values(tokens, grid)
        if not self.axes:
            return q, k, v
        angles = self.grouping.fold(_angles(self.head_dims, self.base, grid, self.axes, q.device)[None], grid)
        cos, sin = angles.cos().to(q.dtype)[:, None], angles.sin().to(q.dtype)[:, None]
        return _turned(q, cos, sin), _turned(k, cos, sin), v


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn ``(B*G, heads, N, c)`` by angles of ``(G, 1, N, c)``."""
    x = x.unflatten(0, (-1, cos.shape[0]))  # len() would be a number in an export
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat([-second, first], dim=-1) * sin).flatten(0, 1)


@made_once
def _angles(head_dims: int, base: float, grid: Grid, axes: str, device: torch.device) -> Tensor:
    """Angles ``(L + T*H*W, head_dims)`` of all tokens."""
    frequencies = 2 * math.pi / base ** (torch.arange(0, head_dims, 4, device=device) / head_dims)
    quarters = []
    for axis, size, shape in (('h', grid.h, (1, -1, 1, 1)), ('w', grid.w, (1, 1, -1, 1))):
        places = (torch.arange(size, device=device) + 0.5) / size * 2 - 1
        turns = places.view(shape) * frequencies * (axis in axes)
        quarters.append(turns.expand(*grid.sizes, -1))
    angles = torch.cat([*quarters, *quarters], dim=-1).flatten(0, 2)
    return torch.cat([angles.new_zeros(grid.lead, head_dims), angles])
