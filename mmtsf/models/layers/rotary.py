"""Rotary position embedding over time and space (Su et al., arXiv 2104.09864)."""

import math

import torch
from torch import Tensor, nn

from .made_once import made_once
from .tokens import Grid


class RotaryPosition(nn.Module):
    """Turn pairs of channels of queries and keys by angles that grow with the place of a patch.

    The angles are those of timesformer-pytorch: in time geometric frequencies of the frame's number, numbered by
    halves of the channels although pairs are neighbours; in space frequencies from 1 to ``max_frequency / 2`` of the
    height in [-1, 1] for the first half of the channels and of the width for the other. Leading tokens are not
    turned.

    Args:
        head_dims (int): Channels of a head; a multiple of 4.
        max_frequency (float): Twice the highest frequency in space. Defaults to 10.
    """

    def __init__(self, head_dims: int, max_frequency: float = 10) -> None:
        super().__init__()
        if head_dims % 4:
            raise ValueError(f'rotary positions need heads of a multiple of 4 channels, not {head_dims}')
        self.head_dims = head_dims
        self.max_frequency = max_frequency

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        """Turn ``(..., B*G, heads, L, head_dims)`` by angles ``(G, L, head_dims)``."""
        angles = angles.repeat(x.shape[-4] // len(angles), 1, 1).unsqueeze(1)
        turned = torch.stack([-x[..., 1::2], x[..., ::2]], dim=-1).flatten(-2)
        return x * angles.cos().to(x.dtype) + turned * angles.sin().to(x.dtype)

    def angles(self, grid: Grid, axes: str, device: torch.device) -> Tensor:
        """Angles ``(L + T*H*W, head_dims)`` of all tokens by the axes ``'t'``, ``'h'`` and ``'w'``, added."""
        return _angles(self.head_dims, self.max_frequency, grid, axes, device)


@made_once
def _angles(head_dims: int, max_frequency: float, grid: Grid, axes: str, device: torch.device) -> Tensor:
    angles = torch.zeros(*grid.sizes, head_dims, device=device)
    if 't' in axes:
        frequencies = 10000 ** (-torch.arange(0, head_dims, 2, device=device) / head_dims)
        angles = angles + (torch.arange(grid.t, device=device)[:, None] * frequencies.repeat(2))[:, None, None]
    highest = math.log2(max_frequency / 2)
    frequencies = math.pi * torch.logspace(0, highest, head_dims // 4, base=2, device=device).repeat_interleave(2)
    halves = [torch.zeros(grid.h, grid.w, head_dims // 2, device=device) for _ in 'hw']
    if 'h' in axes:
        halves[0] = halves[0] + torch.linspace(-1, 1, grid.h, device=device)[:, None, None] * frequencies
    if 'w' in axes:
        halves[1] = halves[1] + torch.linspace(-1, 1, grid.w, device=device)[None, :, None] * frequencies
    angles = angles + torch.cat(halves, dim=-1)
    return torch.cat([torch.zeros(grid.lead, head_dims, device=device), angles.flatten(0, 2)])
