"""What a block does to each token by itself."""

import torch.nn.functional as F
from torch import Tensor, nn

from mmtsf.registry import MODELS


@MODELS.register_module()
class MLP(nn.Sequential):
    """Two linear layers with GELU between them (Equation 9 of the paper).

    Args:
        embed_dims (int): Width C of the tokens.
        ratio (float): Width of the hidden layer as a multiple of ``embed_dims``. Defaults to 4.
    """

    def __init__(self, embed_dims: int, ratio: float = 4) -> None:
        hidden = int(embed_dims * ratio)
        super().__init__(nn.Linear(embed_dims, hidden), nn.GELU(), nn.Linear(hidden, embed_dims))


@MODELS.register_module()
class GatedMLP(nn.Sequential):
    """Two linear layers with a gated GELU between them (GEGLU, Shazeer, arXiv 2002.05202; timesformer-pytorch).

    Args:
        embed_dims (int): Width C of the tokens.
        ratio (float): Width after the gate as a multiple of ``embed_dims``. Defaults to 4.
    """

    def __init__(self, embed_dims: int, ratio: float = 4) -> None:
        hidden = int(embed_dims * ratio)
        super().__init__(nn.Linear(embed_dims, 2 * hidden), GEGLU(), nn.Linear(hidden, embed_dims))


class GEGLU(nn.Module):
    """Half of the channels, times GELU of the other half."""

    is_cheap = True  # for kernels.through

    def forward(self, x: Tensor) -> Tensor:
        """``(..., 2 * C)`` to ``(..., C)``."""
        values, gates = x.chunk(2, dim=-1)
        return values * F.gelu(gates)
