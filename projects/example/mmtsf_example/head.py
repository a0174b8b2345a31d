"""Classify by the angle between feature and class."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from mmtsf.models.heads import TimeSformerHead
from mmtsf.registry import MODELS


@MODELS.register_module()
class CosineHead(TimeSformerHead):
    """Logits are cosines between the feature and a vector for each class, times a factor.

    Args:
        factor (float): Factor of the cosines. Defaults to 16.
        base: Arguments of :class:`mmtsf.models.heads.TimeSformerHead`.
    """

    def __init__(self, factor: float = 16.0, **base: Any) -> None:
        super().__init__(**base)
        self.factor = factor

    def forward(self, feats: Tensor, **_: Any) -> Tensor:
        """Logits ``(B, K)`` of features ``(B, C)``."""
        feature = F.normalize(self.hidden(feats).float(), dim=-1)
        return self.factor * feature @ F.normalize(self.fc_cls.weight.float(), dim=-1).T
