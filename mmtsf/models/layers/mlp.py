"""What a block does to each token by itself."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from mmtsf.registry import MODELS

from .layer_scale import LayerScale


class QuickGELU(nn.Module):
    """GELU by a sigmoid (Hendrycks & Gimpel, arXiv 1606.08415, section 2; CLIP)."""

    is_cheap = True  # for kernels.through

    def forward(self, x: Tensor) -> Tensor:
        """Element by element."""
        return x * (1.702 * x).sigmoid()


@MODELS.register_module()
class MLP(nn.Sequential):
    """Two linear layers with an activation between them (Equation 9 of the paper).

    Args:
        embed_dims (int): Width C of the tokens.
        ratio (float): Width of the hidden layer as a multiple of ``embed_dims``. Defaults to 4.
        activation (str): ``'gelu'``, ``'quick_gelu'``, ``'silu'`` or ``'relu'``. Defaults to ``'gelu'`` (paper).
        layer_scale (float, optional): Initial factor of the output's channels (:class:`LayerScale`). Defaults to None:
            there is none.
    """

    activations: Mapping[str, type[nn.Module]] = dict(gelu=nn.GELU, quick_gelu=QuickGELU, silu=nn.SiLU, relu=nn.ReLU)
    #: Channels that the activation takes for each that it gives
    taken = 1

    def __init__(
        self, embed_dims: int, ratio: float = 4, activation: str = 'gelu', layer_scale: float | None = None
    ) -> None:
        if activation not in self.activations:
            raise ValueError(f'activation is {activation!r}, expected one of {tuple(self.activations)}')
        hidden = int(embed_dims * ratio + 1e-6)  # a ratio of whole numbers may be a little less than it is
        first, last = nn.Linear(embed_dims, self.taken * hidden), nn.Linear(hidden, embed_dims)
        scale = [] if layer_scale is None else [LayerScale(embed_dims, layer_scale)]
        super().__init__(first, self.activations[activation](), last, *scale)
        self.activation = activation


class GEGLU(nn.Module):
    """Half of the channels, times GELU of the other half."""

    is_cheap = True  # for kernels.through

    def forward(self, x: Tensor) -> Tensor:
        """``(..., 2 * C)`` to ``(..., C)``."""
        values, gates = x.chunk(2, dim=-1)
        return values * F.gelu(gates)


class SwiGLU(nn.Module):
    """Half of the channels, times SiLU of the other half."""

    is_cheap = True  # for kernels.through

    def forward(self, x: Tensor) -> Tensor:
        """``(..., 2 * C)`` to ``(..., C)``."""
        values, gates = x.chunk(2, dim=-1)
        return values * F.silu(gates)


@MODELS.register_module()
class GatedMLP(MLP):
    """Two linear layers with a gated activation between them (Shazeer, arXiv 2002.05202; timesformer-pytorch, DINOv3).

    Args:
        embed_dims (int): Width C of the tokens.
        ratio (float): Width after the gate as a multiple of ``embed_dims``. Defaults to 4.
        activation (str): Of the gate, ``'gelu'`` (GEGLU) or ``'silu'`` (SwiGLU). Defaults to ``'gelu'``.
        layer_scale (float, optional): See :class:`MLP`.
    """

    activations = dict(gelu=GEGLU, silu=SwiGLU)
    taken = 2
