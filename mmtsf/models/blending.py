"""Clips of a batch, mixed."""

import torch
from mmaction.models.utils import RandomBatchAugment
from torch import Tensor

from mmtsf.registry import MODELS


@MODELS.register_module()
class RandomBlending(RandomBatchAugment):
    """MMAction2's choice among mixup, cutmix and the like, drawn from PyTorch's generator, which every iteration seeds:
    a resumed run draws the same.

    Args:
        augments (list[dict]): Configs of ways to blend, one of which is drawn for a batch, all with the same chance.
    """

    def __init__(self, augments: list[dict]) -> None:
        with torch.device('cpu'):  # their distributions need values, where a model without values is built, too
            super().__init__(augments)

    def do_blending(self, imgs: Tensor, label: Tensor, **kwargs) -> tuple[Tensor, Tensor]:
        """Blended clips ``(B, N, 3, T, H, W)`` and labels ``(B, K)``."""
        return self.augments[int(torch.randint(len(self.augments), ()))].do_blending(imgs, label, **kwargs)
