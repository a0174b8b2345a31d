"""One block of the encoder."""

from torch import Tensor, nn

from mmtsf.models.kernels.recompute import recomputing
from mmtsf.models.kernels.through import through

from .drop_path import DropPath
from .tokens import Grid


class EncoderBlock(nn.Module):
    """An attention scheme, then an MLP, each with its residuals (Equations 2 to 9 of the paper).

    Args:
        attention (nn.Module): Attention scheme; owns its norms and residuals.
        mlp (nn.Module): Maps each token ``(..., C)`` to its residual, after the norm.
        embed_dims (int): Width C of the tokens.
        drop_path_rate (float): Probability that the MLP's residual is dropped for a clip in training.
        norm_eps (float): Epsilon of the LayerNorm. Defaults to 1e-6.
    """

    def __init__(
        self, attention: nn.Module, mlp: nn.Module, embed_dims: int, drop_path_rate: float, norm_eps: float = 1e-6
    ) -> None:
        super().__init__()
        self.attention = attention
        self.norm = nn.LayerNorm(embed_dims, eps=norm_eps)
        self.mlp = mlp
        self.drop_path = DropPath(drop_path_rate)

    @recomputing
    def forward(self, tokens: Tensor, grid: Grid, only_cls: bool = False) -> Tensor:
        """``(B, L + T*H*W, C)`` to the same shape, or with ``only_cls`` to the classification token ``(B, 1, C)``."""
        tokens = self.attention(tokens, grid, only_cls)  # Equation 8, with its residual
        return tokens + through(tokens, self.norm, self.mlp, self.drop_path)  # Equation 9
