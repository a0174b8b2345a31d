"""What a block does to each token by itself."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtsf.models.kernels.recompute import linear_after, linear_after_norm
from mmtsf.registry import MODELS

#: Tokens at a time in inference on a CPU: their hidden layer stays in the caches
ROWS = 1024


class _TwoLayers(nn.Sequential):
    """Linear layer, activation, linear layer; of the activations only the first layer's input and output are kept."""

    def forward(self, x: Tensor, norm: nn.LayerNorm | None = None) -> Tensor:
        """Residual ``(..., C)`` of tokens of the same shape, after ``norm`` if given."""
        if torch.is_grad_enabled() or x.device.type != 'cpu' or torch.compiler.is_compiling():
            return self._residual(x, norm)
        return torch.cat([self._residual(rows, norm) for rows in x.flatten(0, -2).split(ROWS)]).view_as(x)

    def _residual(self, x: Tensor, norm: nn.LayerNorm | None) -> Tensor:
        first, activation, second = cast(tuple[nn.Linear, nn.Module, nn.Linear], tuple(self))
        return linear_after(activation, linear_after_norm(x, norm, first), second.weight, second.bias)


@MODELS.register_module()
class MLP(_TwoLayers):
    """Two linear layers with GELU between them (Equation 9 of the paper).

    Args:
        embed_dims (int): Width C of the tokens.
        ratio (float): Width of the hidden layer as a multiple of ``embed_dims``. Defaults to 4.
    """

    def __init__(self, embed_dims: int, ratio: float = 4) -> None:
        hidden = int(embed_dims * ratio)
        super().__init__(nn.Linear(embed_dims, hidden), nn.GELU(), nn.Linear(hidden, embed_dims))


@MODELS.register_module()
class GatedMLP(_TwoLayers):
    """Two linear layers with a gated GELU between them (GEGLU, Shazeer, arXiv 2002.05202; timesformer-pytorch).

    Args:
        embed_dims (int): Width C of the tokens.
        ratio (float): Width after the gate as a multiple of ``embed_dims``. Defaults to 4.
    """

    def __init__(self, embed_dims: int, ratio: float = 4) -> None:
        hidden = int(embed_dims * ratio)
        super().__init__(nn.Linear(embed_dims, 2 * hidden), _GEGLU(), nn.Linear(hidden, embed_dims))


class _GEGLU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        values, gates = x.chunk(2, dim=-1)
        return values * F.gelu(gates)
