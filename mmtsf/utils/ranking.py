"""Rank classes by their scores: the one rule of metrics, tables and predictions for scores that are the same."""

import torch
from torch import Tensor


def ranks_of(scores: Tensor, labels: Tensor) -> Tensor:
    """Return how many classes come before the label ``(N,)``; of the same scores the lowest number comes first, as with
    ``argmax``, and behind a score that is no number come all.

    Args:
        scores (Tensor): ``(N, K)``.
        labels (Tensor): ``(N,)``.
    """
    own, classes = scores.gather(1, labels[:, None]), torch.arange(scores.shape[1], device=scores.device)
    return (~(scores < own) & ((scores != own) | (classes < labels[:, None]))).sum(dim=1)
