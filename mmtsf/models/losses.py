"""Losses for classes of unequal size, beside MMAction2's."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtsf.registry import MODELS


@MODELS.register_module()
class FocalLoss(nn.Module):
    """Cross entropy, times (1 - p)^gamma of each label's probability p: what is easy counts little (Lin et al., arXiv
    1708.02002). With a gamma of 0 it is MMAction2's ``CrossEntropyLoss``, or ``BCELossWithLogits``.

    Labels are numbers ``(B,)``, or, mixed or smoothed, a share of each class ``(B, K)``.

    Args:
        gamma (float): Defaults to 2.
        sigmoid (bool): Whether each class is judged by itself, for several labels a video; else all of them by a
            softmax. Defaults to False.
        class_weight (Sequence[float], optional): Weight of each class. Defaults to None: all the same.
        loss_weight (float): Weight of the loss. Defaults to 1.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        sigmoid: bool = False,
        class_weight: Sequence[float] | None = None,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.gamma = gamma
        self.sigmoid = sigmoid
        self.class_weight: Tensor | None = None
        if class_weight is not None:
            self.class_weight = torch.tensor(class_weight, dtype=torch.float32, device='cpu')

    def forward(self, cls_score: Tensor, label: Tensor) -> Tensor:
        """Loss of logits ``(B, K)``."""
        target = (label if label.shape == cls_score.shape else F.one_hot(label, cls_score.shape[1])).to(cls_score.dtype)
        weights = self._weights_for(cls_score)
        weighted = weights * target
        if self.sigmoid:
            right = cls_score.sigmoid() * (2 * target - 1) + 1 - target
            losses = F.binary_cross_entropy_with_logits(cls_score, target, weights, reduction='none')
            return self.loss_weight * (self._hard(right) * losses).mean()
        log_p = cls_score.log_softmax(dim=1)
        return -self.loss_weight * (self._hard(log_p.exp()) * log_p * weighted).sum() / weighted.sum()

    def _weights_for(self, cls_score: Tensor) -> Tensor:
        """Weights of the classes, which are sent to the scores' device once."""
        if self.class_weight is None:
            return cls_score.new_ones(())
        self.class_weight = self.class_weight.to(cls_score)
        return self.class_weight

    def _hard(self, right: Tensor) -> Tensor:
        """How hard labels are whose probabilities these are; where one is 1, a power below 1 has no derivative."""
        if not self.gamma:
            return torch.ones_like(right)
        return (1 - right).clamp(min=torch.finfo(right.dtype).eps) ** self.gamma


@MODELS.register_module()
class LogitAdjustedLoss(nn.Module):
    """A loss of logits to which tau times the log of each class's share of the training set is added (Menon et al.,
    arXiv 2007.07314, equation 10): the logits themselves, by which a video is classified, owe nothing to the shares.

    Args:
        class_counts (Sequence[float]): Videos of each class.
        tau (float): Defaults to 1.
        loss_cls (dict): Config of the loss. Defaults to cross entropy.

    Raises:
        ValueError: If a class has no video, whose share has no logarithm.
    """

    def __init__(
        self, class_counts: Sequence[float], tau: float = 1.0, loss_cls: dict = dict(type='CrossEntropyLoss')
    ) -> None:
        super().__init__()
        if min(class_counts) <= 0:
            raise ValueError(f'class_counts has a {min(class_counts)}, expected a number above 0 for each class')
        counts = torch.tensor(class_counts, dtype=torch.float64, device='cpu')
        self.added = tau * (counts / counts.sum()).log()
        self.loss_cls = MODELS.build(loss_cls)

    def forward(self, cls_score: Tensor, label: Tensor) -> Tensor:
        """Loss of logits ``(B, K)``."""
        self.added = self.added.to(cls_score)  # once
        return self.loss_cls(cls_score + self.added, label)


def class_weights(class_counts: Sequence[float], weight: str | float) -> list[float]:
    """Work out weights of classes, whose mean is 1, from their numbers of videos.

    Args:
        class_counts (Sequence[float]): Videos of each class, none without.
        weight (str | float): ``'inverse'``, of the number; a number, the beta of the effective number of samples, (1 -
            beta^n) / (1 - beta), whose inverse is taken (Cui et al., arXiv 1901.05555); ``'effective'``, a beta of
            0.999.
    """
    counts = torch.tensor(class_counts, dtype=torch.float64, device='cpu')
    beta = 0.999 if weight == 'effective' else weight
    numbers = counts if isinstance(beta, str) else 1 - beta**counts
    return (len(counts) / numbers / (1 / numbers).sum()).tolist()
