"""Blend the clips of a batch."""

from typing import Any

import torch
import torch.nn.functional as F
from mmaction.models.utils import RandomBatchAugment
from torch import Tensor

from mmtsf.registry import MODELS


@MODELS.register_module()
class RandomBlending(RandomBatchAugment):
    """MMAction2's choice among mixup, cutmix and the like, drawn from PyTorch's generator, which every iteration seeds:
    a resumed run draws the same.

    Args:
        augments (dict | list[dict]): Configs of ways to blend, one of which is drawn for a batch.
        probs (float | list[float], optional): Their probabilities; what they lack to 1 is that of no blending.
            Defaults to None: all the same.
    """

    def __init__(self, augments: dict | list[dict], probs: float | list[float] | None = None) -> None:
        with torch.device('cpu'):  # their distributions need values, where a model without values is built, too
            super().__init__(augments, list(probs) if isinstance(probs, (list, tuple)) else probs)

    def __call__(self, imgs: Tensor, batch_data_samples: list, **kwargs: Any) -> tuple[Tensor, list]:
        """Blended clips, and their samples with blended labels; no label is read from the device, as MMAction2 does one
        by one."""
        labels = [sample.gt_labels.item for sample in batch_data_samples]
        if len(labels[0]) == 1:
            rows = F.one_hot(torch.stack(labels).flatten().long().to(imgs.device), self.num_classes)
            for sample, row in zip(batch_data_samples, rows):
                sample.gt_labels.item = row
        return super().__call__(imgs, batch_data_samples, **kwargs)

    def do_blending(self, imgs: Tensor, label: Tensor, **kwargs) -> tuple[Tensor, Tensor]:
        """Blended clips ``(B, N, 3, T, H, W)`` and labels ``(B, K)``."""
        if self.probs is None:
            drawn = torch.randint(len(self.augments), ())
        else:
            drawn = torch.multinomial(torch.tensor(self.probs), 1)
        blending = self.augments[int(drawn)]
        return (imgs, label) if blending is None else blending.do_blending(imgs, label, **kwargs)
