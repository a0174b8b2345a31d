"""What timesformer-pytorch (lucidrains) has in other ways than the paper, each an option."""

from typing import Any

import torch
from torch import Tensor

from mmtsf.models.kernels.attend import attend
from mmtsf.models.kernels.through import through

from .attention_step import AttentionStep, join_heads
from .encoder_block import EncoderBlock
from .rotary import RotaryPosition
from .tokens import Grid, shift_frames


class LucidrainsStep(AttentionStep):
    """An attention step with one classification token, rotary positions or token shift.

    Args:
        one_cls (bool): Whether the classification token, besides being seen in every group, sees all patches, instead
            of the average over its copies. Its grouping must be one with it.
        rotary (bool): Whether queries and keys carry rotary positions of the group's members.
        token_shift (bool): Whether channels are shifted between frames first.
        kwargs: See :class:`AttentionStep`.
    """

    def __init__(self, *, one_cls: bool, rotary: bool, token_shift: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.one_cls = one_cls
        self.token_shift = token_shift
        self.rotary = RotaryPosition(self.proj.in_features // self.num_heads) if rotary else None

    def forward(self, tokens: Tensor, grid: Grid, only_cls: bool = False) -> Tensor:
        """As :meth:`AttentionStep.forward`."""
        if not self.one_cls:
            return super().forward(tokens, grid, only_cls)
        qkv = self._grouped(tokens, grid)
        mixed = join_heads(attend(*self._of_cls(qkv, grid)))[:, : 1 if only_cls else None]
        if not only_cls:
            groups = join_heads(attend(*self._turned(qkv, grid)))
            mixed = torch.cat([mixed, self.grouping.unfold(groups, grid)[:, grid.lead :]], dim=1)
        return through(mixed, self.proj, self.scale, self.drop_path, self.temporal_fc)

    def queries_keys_values(self, tokens: Tensor, grid: Grid) -> Any:
        """As :meth:`AttentionStep.queries_keys_values`, with positions."""
        return self._turned(self._grouped(tokens, grid), grid)

    def cls_query_keys_values(self, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of the leading tokens, ``(B, heads, L, head_dims)``, keys and values of all tokens."""
        return self._of_cls(self._grouped(tokens, grid), grid)

    def _of_cls(self, qkv: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.split_heads(self.grouping.unfold(qkv, grid))
        return q[:, :, : grid.lead], k, v

    def _grouped(self, tokens: Tensor, grid: Grid) -> Tensor:
        if not self.token_shift:
            return through(self.grouping.fold(tokens, grid), self.norm, self.qkv)
        shifted = shift_frames(self.norm(tokens), grid)
        return through(self.grouping.fold(shifted, grid), self.qkv)

    def _turned(self, qkv: Tensor, grid: Grid) -> Tensor:
        qkv = self.split_heads(qkv)
        if self.rotary is None:
            return qkv
        angles = self.grouping.fold(self.rotary.angles(grid, self.grouping.members, qkv.device)[None], grid)
        return torch.cat([self.rotary(qkv[:2], angles), qkv[2:]])


class LucidrainsBlock(EncoderBlock):
    """A block whose MLP, too, sees channels of other frames (token shift). Args: see :class:`EncoderBlock`."""

    def forward(self, tokens: Tensor, grid: Grid, only_cls: bool = False) -> Tensor:
        """As :meth:`EncoderBlock.forward`."""
        if only_cls:  # which is not shifted
            return super().forward(tokens, grid, only_cls)
        tokens = self.attention(tokens, grid)
        return tokens + through(shift_frames(self.norm(tokens), grid), self.mlp, self.drop_path)
