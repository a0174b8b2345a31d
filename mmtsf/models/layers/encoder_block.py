"""One block of the encoder."""

from torch import Tensor, nn

from .drop_path import DropPath
from .tokens import Grid


class EncoderBlock(nn.Module):
    """An attention scheme, then an MLP, each with its residuals (Equations 4 to 9 of the paper).

    Args:
        attention (nn.Module): Attention scheme; owns its norms and residuals.
        embed_dims (int): Width C of the tokens.
        mlp_ratio (float): Width of the MLP's hidden layer as a multiple of ``embed_dims``.
        drop_path_rate (float): Probability that the MLP's residual is dropped for a clip in training.
    """

    def __init__(self, attention: nn.Module, embed_dims: int, mlp_ratio: float, drop_path_rate: float) -> None:
        super().__init__()
        hidden = int(embed_dims * mlp_ratio)
        self.attention = attention
        self.norm = nn.LayerNorm(embed_dims, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(embed_dims, hidden), nn.GELU(), nn.Linear(hidden, embed_dims))
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """``(B, 1 + T*H*W, C)`` to the same shape."""
        tokens = self.attention(tokens, grid)
        return tokens + self.drop_path(self.mlp(self.norm(tokens)))
