"""Where patches lie among the tokens, and how a step cuts them into groups.

Tokens are ``(B, 1 + T*H*W, C)``: the classification token, then the patches frame by frame, row by row. Nothing
outside this file knows that order.
"""

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor


class Grid(NamedTuple):
    """Number of patches of a clip along time, height and width."""

    t: int
    h: int
    w: int

    @property
    def num_patches(self) -> int:
        return self.t * self.h * self.w


class Grouping:
    """A partition of the patch grid into groups of equal size; tokens attend within their group.

    Args:
        groups (str): Axes that number the groups, in einops notation, e.g. ``'t'`` for one group a frame.
        members (str): Axes that number the members of a group, e.g. ``'h w'``. An axis ``x`` that is cut in parts
            appears as ``nx`` and ``x``: in ``patches`` the order says whether parts are blocks or phases.
        patches (str): How the grid is written with these axes. Defaults to ``'t h w'``.
        with_cls (bool): Whether the classification token joins: a copy in every group, and the copies are averaged
            afterwards, as in the released code. Defaults to True.
        parts (int): Number of parts of every axis that is cut. Defaults to 2.
    """

    def __init__(
        self, groups: str, members: str, patches: str = 't h w', with_cls: bool = True, parts: int = 2
    ) -> None:
        self.flat = f'b ({patches}) c'
        self.grouped = f'(b {groups}) ({members}) c'
        self.cut = [axis for axis in 'thw' if f'n{axis}' in patches.split()]
        self.with_cls = with_cls
        self.parts = parts

    def axis_lengths(self, grid: Grid) -> dict[str, int]:
        """Lengths of all axes of the patterns.

        Raises:
            ValueError: If an axis that is cut is no multiple of ``parts``.
        """
        lengths = grid._asdict()
        for axis in self.cut:
            if lengths[axis] % self.parts:
                raise ValueError(
                    f'this attention cuts axis {axis!r} of the patch grid into {self.parts} equal parts, but there '
                    f'are {lengths[axis]} patches along it (grid t x h x w = {" x ".join(map(str, grid))}); choose '
                    'a number of frames or an image size that divides, or another attention'
                )
            lengths[axis] //= self.parts
            lengths[f'n{axis}'] = self.parts
        return lengths

    def fold(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Cut the tokens ``(B, 1 + T*H*W, C)`` into groups ``(B*G, L, C)``, the classification token first."""
        groups = rearrange(tokens[:, 1:], f'{self.flat} -> {self.grouped}', **self.axis_lengths(grid))
        if not self.with_cls:
            return groups
        num_groups = groups.shape[0] // tokens.shape[0]
        cls = tokens[:, :1].repeat_interleave(num_groups, dim=0)
        return torch.cat([cls, groups], dim=1)

    def unfold(self, groups: Tensor, grid: Grid) -> Tensor:
        """Undo :meth:`fold`: ``(B*G, L, C) -> (B, 1 + T*H*W, C)``; copies of the classification token are averaged,
        and it is zero where it did not join."""
        lengths = self.axis_lengths(grid)
        patches = rearrange(groups[:, int(self.with_cls) :], f'{self.grouped} -> {self.flat}', **lengths)
        if self.with_cls:
            cls = groups[:, :1].unflatten(0, (patches.shape[0], -1)).mean(dim=1)
        else:
            cls = patches.new_zeros(patches.shape[0], 1, patches.shape[2])
        return torch.cat([cls, patches], dim=1)
