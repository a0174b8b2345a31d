"""Embeddings of image models whose tokens begin otherwise than the paper's."""

from typing import Any

import torch
from torch import Tensor, nn

from mmtsf.registry import MODELS

from .clip_embedding import ClipEmbedding
from .tokens import Grid


@MODELS.register_module()
class NormEmbedding(ClipEmbedding):
    """An embedding whose tokens are normalised before the first block (CLIP, arXiv 2103.00020).

    Args:
        norm_eps (float): Epsilon of the LayerNorm. Defaults to 1e-5 (CLIP).
        kwargs: See :class:`ClipEmbedding`.
    """

    def __init__(self, norm_eps: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.norm = nn.LayerNorm(kwargs['embed_dims'], eps=norm_eps)

    def forward(self, clips: Tensor) -> tuple[Tensor, Grid]:
        """As :meth:`ClipEmbedding.forward`."""
        tokens, grid = super().forward(clips)
        return self.norm(tokens), grid


@MODELS.register_module()
class RegisterEmbedding(ClipEmbedding):
    """An embedding with register tokens after the classification token (Darcet et al., arXiv 2309.16588).

    They have no position, and every group of patches that sees the classification token sees them.

    Args:
        num_registers (int): Register tokens R. Defaults to 4 (DINOv2, DINOv3).
        kwargs: See :class:`ClipEmbedding`.
    """

    def __init__(self, num_registers: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_registers < 1:
            raise ValueError(f"num_registers is {num_registers}, expected at least 1; without them use 'ClipEmbedding'")
        self.lead = 1 + num_registers
        self.registers = nn.Parameter(torch.zeros(1, num_registers, kwargs['embed_dims']))

    def init_weights(self) -> None:
        """As :meth:`ClipEmbedding.init_weights`; truncated normal for the registers."""
        super().init_weights()
        nn.init.trunc_normal_(self.registers, std=0.02)

    def forward(self, clips: Tensor) -> tuple[Tensor, Grid]:
        """As :meth:`ClipEmbedding.forward`, ``(B, 1 + R + T*h*w, C)``."""
        tokens, grid = super().forward(clips)
        registers = self.registers.expand(tokens.shape[0], -1, -1)
        return torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1), grid._replace(lead=self.lead)
