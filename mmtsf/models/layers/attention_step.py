"""One step of an attention scheme: multi-head self-attention within the groups of a grouping."""

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mmtsf.models.kernels.attend import attend
from mmtsf.models.kernels.in_place import attend_in_place, attends_in_place
from mmtsf.models.kernels.plain import is_affine, is_untouched
from mmtsf.models.kernels.through import project, through
from mmtsf.models.old_names import rename_keys
from mmtsf.registry import MODELS

from .drop_path import DropPath
from .layer_scale import LayerScale
from .tokens import Grid, Grouping


@MODELS.register_module()
class AttentionStep(nn.Module):
    """Self-attention of every token over its own group, Equations 2 to 8 of the paper without the residual.

    Args:
        embed_dims (int): Width C of the tokens.
        num_heads (int): Number of heads.
        grouping (Grouping): Which tokens see each other.
        drop_path_rate (float): Probability that a group's residual is dropped in training. Defaults to 0.
        temporal_fc (bool): Whether a second linear layer, which starts at zero, follows the drop path (released code):
            an addition to the image model. Defaults to False.
        head_dims (int, optional): Width of a head. Defaults to None: ``embed_dims / num_heads``.
        qkv_bias (bool): Whether queries, keys and values have a bias. Defaults to True.
        norm_eps (float): Epsilon of the LayerNorm. Defaults to 1e-6 (released code).
        layer_scale (float, optional): Initial factor of the projection's channels (:class:`LayerScale`). Defaults to
            None: there is none.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        grouping: Grouping,
        drop_path_rate: float = 0.0,
        temporal_fc: bool = False,
        head_dims: int | None = None,
        qkv_bias: bool = True,
        norm_eps: float = 1e-6,
        layer_scale: float | None = None,
    ) -> None:
        super().__init__()
        if head_dims is None and embed_dims % num_heads:
            raise ValueError(f'embed_dims {embed_dims} is not divisible by num_heads {num_heads}')
        head_dims = head_dims or embed_dims // num_heads
        self.num_heads = num_heads
        self.head_dims = head_dims
        self.grouping = grouping
        self.key_grouping = grouping  # of keys and values
        self.norm = nn.LayerNorm(embed_dims, eps=norm_eps)
        self.qkv = nn.Linear(embed_dims, 3 * num_heads * head_dims, bias=qkv_bias)
        self.proj = nn.Linear(num_heads * head_dims, embed_dims)
        self.scale = None if layer_scale is None else LayerScale(embed_dims, layer_scale)
        self.drop_path = DropPath(drop_path_rate)
        self.temporal_fc = nn.Linear(embed_dims, embed_dims) if temporal_fc else None
        self.register_load_state_dict_pre_hook(rename_keys)

    def forward(self, tokens: Tensor, grid: Grid, only_cls: bool = False) -> Tensor:
        """Residual ``(B, L + T*H*W, C)`` that this step adds to the tokens of the same shape.

        With ``only_cls`` it is the classification token's alone, ``(B, 1, C)``, and no more is computed."""
        if not only_cls and type(self) is AttentionStep and self._has_kernel(tokens, grid):
            return self._in_place(tokens, grid)
        q, k, v = self.queries_keys_values(tokens, grid)  # Equations 2 to 4
        mixed = attend(q[:, :, :1] if only_cls else q, k, v)  # Equations 5 to 7
        residual = through(join_heads(mixed), self.proj, self.scale, self.drop_path, self.temporal_fc)  # Equation 8
        del q, k, v, mixed  # four fifths of this step's memory in inference
        return self.grouping.unfold(residual, grid, only_cls)

    def _has_kernel(self, tokens: Tensor, grid: Grid) -> bool:
        """Whether a kernel reads this step's groups in place, and its layers allow it: drop path is that of groups, and
        the mean of the classification token's copies may be taken before the projection."""
        if tokens.device.type == 'cpu' or type(self.drop_path) is not DropPath:
            return False
        if grid.lead != 1 or self.scale is not None:
            return False
        averaged = (self.proj,) if self.grouping.with_cls else ()
        if not all(map(is_affine, averaged)) or not is_untouched(self.drop_path, *averaged):
            return False
        return attends_in_place(tokens, self.grouping.num_members(grid), self.head_dims)

    def _in_place(self, tokens: Tensor, grid: Grid) -> Tensor:
        """The same residual by a kernel that reads the members of groups where they lie.

        Of the classification token one row is enough on both sides of the kernel: its copies have the same query, key
        and value, and averaging them commutes with the projection."""
        grouping, num_groups = self.grouping, self.grouping.num_groups(grid)
        ones = tokens.new_ones(len(tokens) * num_groups, 1, 1, dtype=torch.float32)
        kept = self.drop_path(ones)  # factor of each group
        share = None
        if grouping.with_cls:
            of_clip = kept.view(len(tokens), num_groups)
            share = (of_clip / of_clip.sum(dim=1, keepdim=True).clamp(min=1e-6)).flatten()
        qkv = through(tokens, self.norm, self.qkv)
        mixed = attend_in_place(qkv, grouping.rows(grid, tokens.device), share, self.num_heads)
        factor = None
        if kept is not ones:
            factor = grouping.unfold(kept.expand(-1, grouping.num_members(grid), -1), grid)
        residual = project(mixed, self.proj, factor, self.temporal_fc)
        return residual if grouping.with_cls else F.pad(residual[:, 1:], (0, 0, 1, 0))

    def queries_keys_values(self, tokens: Tensor, grid: Grid) -> Any:
        """Queries, keys and values of all groups, ``(B*G, heads, N, head_dims)`` each; the leading tokens come
        first in a group."""
        return self.split_heads(through(self.grouping.fold(tokens, grid), self.norm, self.qkv))

    def split_heads(self, qkv: Tensor) -> Tensor:
        """``(N, L, 3 * heads * head_dims)`` to ``(3, N, heads, L, head_dims)``."""
        return rearrange(qkv, 'n l (three heads c) -> three n heads l c', three=3, heads=self.num_heads)


def join_heads(mixed: Tensor) -> Tensor:
    """``(N, heads, L, head_dims)`` to ``(N, L, heads * head_dims)``."""
    return rearrange(mixed, 'n heads l c -> n l (heads c)')
