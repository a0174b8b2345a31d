"""Scale a residual channel by channel (LayerScale, Touvron et al., arXiv 2103.17239)."""

import torch
from torch import Tensor, nn


class LayerScale(nn.Module):
    """Multiply every channel by a factor that is learned.

    Args:
        embed_dims (int): Channels C.
        start (float): Initial factor of all channels.
    """

    def __init__(self, embed_dims: int, start: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((embed_dims,), float(start)))

    def forward(self, x: Tensor) -> Tensor:
        """Scale ``(..., C)``."""
        return (x * self.gamma).to(x.dtype)
