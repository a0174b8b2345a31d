"""Classification head that chooses where to look."""

from typing import Any

import torch
from mmengine.model.weight_init import trunc_normal_init
from torch import Tensor, nn

from mmtsf.models.kernels.attend import attend
from mmtsf.registry import MODELS

from .timesformer_head import TimeSformerHead


@MODELS.register_module()
class AttentiveHead(TimeSformerHead):
    """Linear classifier over patch tokens that a learned query pools by attention (attentive probe, V-JEPA, arXiv
    2404.08471, with the cross-attention alone). Its recognizer is a :class:`VideoRecognizer`.

    Args:
        num_classes (int): Number K of classes.
        in_channels (int): Width C of the tokens.
        num_heads (int): Attention heads. Defaults to 12.
        average_clips, multi_class, label_smooth_eps, loss_cls, dropout_ratio, init_std, init_cfg: see
            :class:`TimeSformerHead`.

    Raises:
        ValueError: If ``num_heads`` does not divide ``in_channels``.
    """

    #: The recognizer gives this head patch tokens
    takes_tokens = True

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_heads: int = 12,
        average_clips: str | None = 'prob',
        multi_class: bool = False,
        label_smooth_eps: float = 0.0,
        loss_cls: dict | None = None,
        dropout_ratio: float = 0.0,
        init_std: float = 0.02,
        init_cfg: dict | None = None,
    ) -> None:
        shared: dict[str, Any] = dict(average_clips=average_clips, multi_class=multi_class, loss_cls=loss_cls)
        shared |= dict(label_smooth_eps=label_smooth_eps, dropout_ratio=dropout_ratio)
        shared |= dict(init_std=init_std, init_cfg=init_cfg)
        super().__init__(num_classes, in_channels, **shared)
        if in_channels % num_heads:
            raise ValueError(f'in_channels {in_channels} is not divisible by num_heads {num_heads}')
        self.num_heads = num_heads
        self.query = nn.Parameter(torch.zeros(1, num_heads, 1, in_channels // num_heads))
        self.kv = nn.Linear(in_channels, 2 * in_channels)

    def init_weights(self) -> None:
        """Truncated normal weights, zero biases, and a query of zero: the head begins with the tokens' mean."""
        super().init_weights()
        nn.init.zeros_(self.query)
        # a query of zero gives the keys no gradient, and small keys give it little
        trunc_normal_init(self.kv, std=self.in_channels**-0.5)

    def forward(self, feats: Tensor, **_) -> Tensor:
        """Logits ``(B, K)`` of tokens ``(B, N, C)``.

        Raises:
            ValueError: If there are features ``(B, C)`` in place of tokens.
        """
        if feats.ndim != 3:
            raise ValueError(
                f'AttentiveHead was given {tuple(feats.shape)}, expected tokens (B, N, C); a model with '
                "type='VideoRecognizer' gives them"
            )
        return super().forward(self.pool(feats))

    def pool(self, tokens: Tensor) -> Tensor:
        """Tokens ``(B, N, C)`` to ``(B, C)``, in each head the mean of the values by the query's attention."""
        k, v = self.kv(tokens).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query = self.query.to(k.dtype).expand(len(tokens), -1, -1, -1)
        return attend(query, k, v).flatten(1)
