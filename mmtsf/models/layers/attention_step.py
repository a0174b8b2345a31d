"""One step of an attention scheme: multi-head self-attention within the groups of a grouping."""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .drop_path import DropPath
from .tokens import Grid, Grouping


class AttentionStep(nn.Module):
    """Self-attention of every token over its own group, Equations 5 to 8 of the paper without the residual.

    Args:
        embed_dims (int): Width C of the tokens.
        num_heads (int): Number of heads; must divide ``embed_dims``.
        grouping (Grouping): Which tokens see each other.
        drop_path_rate (float): Probability that a group's residual is dropped in training.
        extends (bool): Whether the step is an addition to the image model. It then ends in a second linear layer
            (``temporal_fc`` in the released code) that starts at zero, after the drop path. Defaults to False.
    """

    def __init__(
        self, embed_dims: int, num_heads: int, grouping: Grouping, drop_path_rate: float, extends: bool = False
    ) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f'embed_dims {embed_dims} is not divisible by num_heads {num_heads}')
        self.num_heads = num_heads
        self.grouping = grouping
        self.norm = nn.LayerNorm(embed_dims, eps=1e-6)
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims)
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.drop_path = DropPath(drop_path_rate)
        self.fc = nn.Linear(embed_dims, embed_dims) if extends else None

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Residual ``(B, 1 + T*H*W, C)`` that this step adds to the tokens of the same shape."""
        q, k, v = self.queries_keys_values(tokens, grid)
        mixed = rearrange(F.scaled_dot_product_attention(q, k, v), 'g heads l c -> g l (heads c)')
        groups = self.drop_path(self.proj(mixed))
        if self.fc is not None:
            groups = self.fc(groups)
        return self.grouping.unfold(groups, grid)

    def queries_keys_values(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Queries, keys and values ``(3, B*G, heads, L, C / heads)`` of the groups of tokens ``(B, 1 + T*H*W, C)``."""
        qkv = self.grouping.fold(self.qkv(self.norm(tokens)), grid)
        return rearrange(qkv, 'g l (three heads c) -> three g heads l c', three=3, heads=self.num_heads)

    def zero_extension(self) -> None:
        """Start an added step at zero, so that training begins as the image model."""
        if self.fc is not None:
            nn.init.zeros_(self.fc.weight)
            nn.init.zeros_(self.fc.bias)
