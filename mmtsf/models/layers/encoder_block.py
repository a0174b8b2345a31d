"""One block of the encoder."""

from torch import Tensor, nn

from .drop_path import DropPath
from .tokens import Grid, shift_frames


class EncoderBlock(nn.Module):
    """An attention scheme, then an MLP, each with its residuals (Equations 4 to 9 of the paper).

    Args:
        attention (nn.Module): Attention scheme; owns its norms and residuals.
        mlp (nn.Module): Maps each token ``(..., C)`` to its residual, after the norm that it is given.
        embed_dims (int): Width C of the tokens.
        drop_path_rate (float): Probability that the MLP's residual is dropped for a clip in training.
        norm_eps (float): Epsilon of the LayerNorm. Defaults to 1e-6.
        token_shift (bool): Whether channels are shifted between frames before the MLP. Defaults to False.
    """

    def __init__(
        self,
        attention: nn.Module,
        mlp: nn.Module,
        embed_dims: int,
        drop_path_rate: float,
        norm_eps: float = 1e-6,
        token_shift: bool = False,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.norm = nn.LayerNorm(embed_dims, eps=norm_eps)
        self.mlp = mlp
        self.drop_path = DropPath(drop_path_rate)
        self.token_shift = token_shift

    def forward(self, tokens: Tensor, grid: Grid, real: Tensor | None = None, only_cls: bool = False) -> Tensor:
        """``(B, 1 + T*H*W, C)`` to the same shape, or with ``only_cls`` to the classification token ``(B, 1, C)``;
        ``real`` ``(B, 1 + T*H*W, 1)`` marks what is no padding."""
        tokens = self.attention(tokens, grid, real, only_cls)
        if self.token_shift and not only_cls:
            x = self.norm(tokens)
            residual = self.mlp(shift_frames(x if real is None else x * real, grid))
        else:
            residual = self.mlp(tokens, self.norm)
        return tokens + self.drop_path(residual)
