"""One step of an attention scheme: multi-head self-attention within the groups of a grouping."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mmtsf.models.kernels.attend import attend
from mmtsf.models.kernels.recompute import linear, linear_after

from .drop_path import DropPath
from .rotary import RotaryPosition
from .tokens import Grid, Grouping, shift_frames


class AttentionStep(nn.Module):
    """Self-attention of every token over its own group, Equations 5 to 8 of the paper without the residual.

    Args:
        embed_dims (int): Width C of the tokens.
        num_heads (int): Number of heads.
        grouping (Grouping): Which tokens see each other.
        drop_path_rate (float): Probability that a group's residual is dropped in training.
        extends (bool): Whether the step ends in a second linear layer (``temporal_fc`` in the released code) that
            starts at zero, after the drop path: an addition to the image model. Defaults to False.
        head_dims (int, optional): Width of a head. Defaults to None: ``embed_dims / num_heads``.
        qkv_bias (bool): Whether queries, keys and values have a bias. Defaults to True.
        norm_eps (float): Epsilon of the LayerNorm. Defaults to 1e-6 (released code).
        cls_sees_all (bool): Whether the classification token, besides being seen in every group, sees all patches,
            instead of the average over its copies. Defaults to False.
        rotary (bool): Whether queries and keys carry rotary positions of the group's members. Defaults to False.
        token_shift (bool): Whether channels are shifted between frames first. Defaults to False.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        grouping: Grouping,
        drop_path_rate: float,
        extends: bool = False,
        head_dims: int | None = None,
        qkv_bias: bool = True,
        norm_eps: float = 1e-6,
        cls_sees_all: bool = False,
        rotary: bool = False,
        token_shift: bool = False,
    ) -> None:
        super().__init__()
        if head_dims is None and embed_dims % num_heads:
            raise ValueError(f'embed_dims {embed_dims} is not divisible by num_heads {num_heads}')
        head_dims = head_dims or embed_dims // num_heads
        self.num_heads = num_heads
        self.grouping = grouping
        self.cls_sees_all = cls_sees_all
        self.token_shift = token_shift
        self.norm = nn.LayerNorm(embed_dims, eps=norm_eps)
        self.qkv = nn.Linear(embed_dims, 3 * num_heads * head_dims, bias=qkv_bias)
        self.rotary = RotaryPosition(head_dims) if rotary else None
        self.proj = nn.Linear(num_heads * head_dims, embed_dims)
        self.drop_path = DropPath(drop_path_rate)
        self.fc = nn.Linear(embed_dims, embed_dims) if extends else None

    def forward(self, tokens: Tensor, grid: Grid, real: Tensor | None = None, only_cls: bool = False) -> Tensor:
        """Residual ``(B, 1 + T*H*W, C)`` that this step adds to the tokens of the same shape.

        Tokens that are not ``real`` ``(B, 1 + T*H*W, 1)`` attend to nothing and are attended by nothing. With
        ``only_cls`` the residual is the classification token's alone, ``(B, 1, C)``, and no more is computed."""
        qkv = self.queries_keys_values(tokens, grid, real)
        if self.cls_sees_all:
            mixed = self._attend(self.grouping.unfold(qkv, grid), real, num_queries=1)
            if not only_cls:
                groups = self._attend_in_groups(qkv, grid, real)
                mixed = torch.cat([mixed, self.grouping.unfold(groups, grid)[:, 1:]], dim=1)
            residual = self._project(mixed)
        else:
            queries = 1 if only_cls and self.grouping.with_cls else None
            groups = self._project(self._attend_in_groups(qkv, grid, real, queries))
            residual = self.grouping.unfold(groups, grid, real, only_cls)
        return residual if real is None or only_cls else residual * real

    def queries_keys_values(self, tokens: Tensor, grid: Grid, real: Tensor | None = None) -> Tensor:
        """Queries, keys and values ``(B*G, L, 3 * heads * head_dims)`` of the groups, without positions."""

        def group(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
            x = F.layer_norm(x, self.norm.normalized_shape, scale, shift, self.norm.eps)
            if self.token_shift:
                x = shift_frames(x if real is None else x * real, grid)
            return self.grouping.fold(x, grid)  # before the product, which makes three times the channels

        return linear_after(group, tokens, self.qkv.weight, self.qkv.bias, self.norm.weight, self.norm.bias)

    def with_positions(self, qkv: Tensor, grid: Grid) -> Tensor:
        """Queries and keys of :meth:`queries_keys_values` turned by rotary positions, if there are any."""
        if self.rotary is None:
            return qkv
        angles = self.grouping.fold(self.rotary.angles(grid, axes=self.grouping.members)[None], grid)
        qk, v = qkv.unflatten(-1, (3, self.num_heads, -1)).split([2, 1], dim=2)
        return torch.cat([self.rotary(qk, angles), v], dim=2).flatten(2)

    def split_heads(self, qkv: Tensor) -> Tensor:
        """``(N, L, 3 * heads * head_dims)`` to ``(3, N, heads, L, head_dims)``."""
        return rearrange(qkv, 'n l (three heads c) -> three n heads l c', three=3, heads=self.num_heads)

    def zero_extension(self) -> None:
        """Start an added step at zero, so that training begins as the image model."""
        if self.fc is not None:
            nn.init.zeros_(self.fc.weight)
            nn.init.zeros_(self.fc.bias)

    def fuse(self) -> None:
        """Merge the two last linear layers, between which there is nothing but drop path: for inference, exact."""
        if self.fc is not None:
            with torch.no_grad():
                self.proj.weight.copy_(self.fc.weight.double() @ self.proj.weight.double())
                self.proj.bias.copy_(self.fc.weight.double() @ self.proj.bias.double() + self.fc.bias)
            self.fc = None

    def _attend_in_groups(self, qkv: Tensor, grid: Grid, real: Tensor | None, num_queries: int | None = None) -> Tensor:
        mask = None if real is None else self.grouping.fold(real, grid)
        return self._attend(self.with_positions(qkv, grid), mask, num_queries)

    def _attend(self, qkv: Tensor, real: Tensor | None, num_queries: int | None = None) -> Tensor:
        q, k, v = self.split_heads(qkv)
        mask = None if real is None else real.squeeze(-1)[:, None, None]
        mixed = attend(q[:, :, :num_queries], k, v, mask)
        return rearrange(mixed, 'n heads l c -> n l (heads c)')

    def _project(self, mixed: Tensor) -> Tensor:
        if self.fc is None:
            return self.drop_path(linear(mixed, self.proj.weight, self.proj.bias))
        # one product over the tokens instead of two: drop path, which scales whole groups, changes places with fc
        weight, bias = self.fc.weight @ self.proj.weight, self.fc.weight @ self.proj.bias
        return self.drop_path(linear(mixed, weight, bias)) + self.fc.bias
