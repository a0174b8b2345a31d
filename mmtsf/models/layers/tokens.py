"""Where patches lie among the tokens, and how a step cuts them into groups.

Tokens are ``(B, L + T*H*W, C)``: L leading tokens, of which the first is the classification token, then the patches
frame by frame, row by row. L is 1 where there are no others. Nothing outside this file knows that order.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from .made_once import made_once


class Grid(NamedTuple):
    """Number of patches of a clip along time, height and width, and of the leading tokens before them."""

    t: int
    h: int
    w: int
    lead: int = 1

    @property
    def sizes(self) -> tuple[int, int, int]:
        return self.t, self.h, self.w

    @property
    def num_patches(self) -> int:
        return self.t * self.h * self.w


@dataclass(frozen=True)
class Grouping:
    """A partition of the patch grid into groups of equal size; tokens attend within their group.

    Args:
        groups (str): Axes that number the groups, in einops notation, e.g. ``'t'`` for one group a frame.
        members (str): Axes that number the members of a group, e.g. ``'h w'``. An axis ``x`` that is cut in parts
            appears as ``nx`` and ``x``: in ``patches`` the order says whether parts are blocks or phases.
        patches (str): How the grid is written with these axes. Defaults to ``'t h w'``.
        with_cls (bool): Whether the classification token and other leading ones join: a copy in every group, and the
            copies are averaged afterwards, as in the released code. Defaults to True.
        parts (int): Number of parts of every axis that is cut. Defaults to 2.
    """

    groups: str
    members: str
    patches: str = 't h w'
    with_cls: bool = True
    parts: int = 2

    def __post_init__(self) -> None:
        """Refuse axes that do not make up the grid.

        Raises:
            ValueError: If ``patches`` has other axes than ``groups`` and ``members`` together, or lacks one of the
                grid.
        """
        axes, used = self.patches.split(), [*self.groups.split(), *self.members.split()]
        whole = {*'thw'} | {f'n{axis}' for axis in self.cut}
        if sorted(axes) != sorted(used) or set(axes) != whole:
            raise ValueError(
                f'groups {self.groups!r} and members {self.members!r} do not make up patches {self.patches!r}; '
                "expected the axes 't h w', and 'nt', 'nh' or 'nw' for one that is cut, each once, without brackets"
            )

    @property
    def flat(self) -> str:
        return f'b ({self.patches}) c'

    @property
    def grouped(self) -> str:
        return f'(b {self.groups}) ({self.members}) c'

    @property
    def cut(self) -> list[str]:
        """Axes that are cut in parts."""
        return [axis for axis in 'thw' if f'n{axis}' in self.patches.split()]

    def axis_lengths(self, grid: Grid) -> dict[str, int]:
        """Lengths of all axes of the patterns.

        Raises:
            ValueError: If an axis that is cut is no multiple of ``parts``.
        """
        lengths = dict(zip('thw', grid.sizes))
        for axis in self.cut:
            if lengths[axis] % self.parts:
                sizes = ' x '.join(map(str, grid.sizes))
                raise ValueError(
                    f'this attention cuts axis {axis!r} of the patch grid into {self.parts} equal parts, but there '
                    f'are {lengths[axis]} patches along it (grid t x h x w = {sizes}); choose a number of frames or an '
                    'image size that divides, or another attention'
                )
            lengths[axis] = lengths[axis] // self.parts  # not in place: in a trace it is a tensor
            lengths[f'n{axis}'] = self.parts
        return lengths

    def num_groups(self, grid: Grid) -> int:
        """Groups of a clip."""
        lengths = self.axis_lengths(grid)
        return math.prod([lengths[axis] for axis in self.groups.split()])

    def num_members(self, grid: Grid) -> int:
        """Tokens of a group, with the leading ones."""
        lengths = self.axis_lengths(grid)
        return math.prod([lengths[axis] for axis in self.members.split()]) + self.leading(grid)

    def leading(self, grid: Grid) -> int:
        """Leading tokens of a group."""
        return grid.lead if self.with_cls else 0

    @made_once
    def rows(self, grid: Grid, device: torch.device) -> Tensor:
        """Places among a clip's tokens of the members of each group, in the order of :meth:`fold`: ``(G, N)`` int32."""
        patches = self._numbers(grid, by_group=True, device=device).view(self.num_groups(grid), -1) + grid.lead
        leading = torch.arange(self.leading(grid), device=device).expand(len(patches), -1)
        return torch.cat([leading, patches], dim=1).int()

    def fold(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Cut the tokens ``(B, L + T*H*W, C)`` into groups ``(B*G, N, C)``, the leading tokens first."""
        groups = self._folded(tokens[:, grid.lead :], grid)
        if not self.with_cls:
            return groups
        leading = tokens[:, None, : grid.lead].expand(-1, self.num_groups(grid), -1, -1).flatten(0, 1)
        return torch.cat([leading, groups], dim=1)

    def unfold(self, groups: Tensor, grid: Grid, only_cls: bool = False) -> Tensor:
        """Undo :meth:`fold`: ``(B*G, N, C) -> (B, L + T*H*W, C)``.

        Copies of leading tokens are averaged; they are zero where they did not join. With ``only_cls`` groups need no
        more than the classification token, and the result is ``(B, 1, C)``."""
        num_groups, lead = self.num_groups(grid), 1 if only_cls else grid.lead
        if self.with_cls:
            leading = groups[:, :lead].unflatten(0, (-1, num_groups)).mean(dim=1)
        else:
            leading = groups.new_zeros(groups.shape[0] // num_groups, lead, groups.shape[2])
        if only_cls:
            return leading
        return torch.cat([leading, self._unfolded(groups[:, self.leading(grid) :], grid)], dim=1)

    def _folded(self, patches: Tensor, grid: Grid) -> Tensor:
        if self._is_indexed:
            members = patches.index_select(1, self._numbers(grid, by_group=True).to(patches.device))
            return members.unflatten(1, (self.num_groups(grid), -1)).flatten(0, 1)
        groups = rearrange(patches, f'{self.flat} -> {self.grouped}', **self.axis_lengths(grid))
        return groups.contiguous()  # one copy, and not one in each of the layers that follow

    def _unfolded(self, groups: Tensor, grid: Grid) -> Tensor:
        if self._is_indexed:
            members = groups.unflatten(0, (-1, self.num_groups(grid))).flatten(1, 2)
            return members.index_select(1, self._numbers(grid, by_group=False).to(groups.device))
        return rearrange(groups, f'{self.grouped} -> {self.flat}', **self.axis_lengths(grid))

    @property
    def _is_indexed(self) -> bool:
        """Whether patches are moved by their numbers: ``torch.export`` takes an axis that is 1 in the example, such as
        half of two frames, as 1 for ever. ONNX has no such guards, and lacks the operations."""
        return bool(self.cut) and torch.compiler.is_exporting() and not torch.onnx.is_in_onnx_export()

    def _numbers(self, grid: Grid, by_group: bool, device: torch.device | None = None) -> Tensor:
        """Numbers of all patches as they lie among the tokens, group by group; or the inverse."""
        lengths, orders = self.axis_lengths(grid), [self.patches.split(), f'{self.groups} {self.members}'.split()]
        numbered, wanted = reversed(orders) if by_group else orders
        rest, places = torch.arange(grid.num_patches, device=device), {}
        for axis in reversed(numbered):
            places[axis], rest = rest % lengths[axis], rest // lengths[axis]
        number = torch.zeros_like(rest)
        for axis in wanted:
            number = number * lengths[axis] + places[axis]
        return number


def shift_frames(tokens: Tensor, grid: Grid) -> Tensor:
    """Tokens ``(B, L + T*H*W, C)`` whose patches take a third of their channels from the next frame and another from
    the one before, zero beyond the ends (token shift, arXiv 2106.14881; timesformer-pytorch)."""
    patches = tokens[:, grid.lead :].unflatten(1, (grid.t, grid.h * grid.w))
    third = tokens.shape[-1] // 3
    ahead, still, behind = patches.split([third, third, tokens.shape[-1] - 2 * third], dim=-1)
    behind, rest = behind[..., :third], behind[..., third:]
    ahead = F.pad(ahead[:, 1:], (0, 0, 0, 0, 0, 1))
    behind = F.pad(behind[:, :-1], (0, 0, 0, 0, 1, 0))
    shifted = torch.cat([ahead, still, behind, rest], dim=-1)
    return torch.cat([tokens[:, : grid.lead], shifted.flatten(1, 2)], dim=1)
