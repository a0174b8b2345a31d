"""Measure each class, and whether scores are the probabilities that they look like."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

#: Bins of equal width in which scores are compared with shares
BINS = 15
#: By how much the scores of a video may differ from 1 in sum, as probabilities
TOLERANCE = 1e-3


class ClassTable(NamedTuple):
    """Measures of each class, arrays ``(K,)``; NaN where there is nothing to measure.

    Attributes:
        videos: Videos that have the class.
        correct: Those of them that were predicted to have it.
        recall: Their share, which is the accuracy of the class.
        precision: Share of the videos predicted to have the class that have it.
        f1: Harmonic mean of both.
        average_precision: Area under precision by recall, of several labels a video.
    """

    videos: np.ndarray
    correct: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    f1: np.ndarray
    average_precision: np.ndarray

    @property
    def tested(self) -> np.ndarray:
        """Whether a class has test videos; means are over those that have."""
        return self.videos > 0


class Calibration(NamedTuple):
    """How well scores tell how often a prediction is right.

    Attributes:
        ece (float): Expected calibration error: the mean distance of score and share of right ones, over the bins.
        nll (float): Negative log-likelihood of the labels, in nats.
        brier (float): Brier score: the squared distance of scores and labels, of several labels the mean over classes.
        predictions (np.ndarray): Number in each bin ``(BINS,)``.
        confidence (np.ndarray): Their mean score; NaN in an empty bin.
        share (np.ndarray): The share of them that is right.
    """

    ece: float
    nll: float
    brier: float
    predictions: np.ndarray
    confidence: np.ndarray
    share: np.ndarray


def class_table(scores: Tensor, labels: Tensor, logits: bool | None = None) -> ClassTable:
    """Measure each class, of any number of classes and videos.

    Args:
        scores (Tensor): ``(N, K)``.
        labels (Tensor): Classes ``(N,)``, of which that of the highest score is predicted; or of several labels a
            video, 0 and 1 for each class ``(N, K)``, of which those are predicted whose probability is above 0.5.
        logits (bool, optional): Whether the scores are logits, with a probability above 0.5 above 0. Defaults to None:
            if any of them is no probability.
    """
    several, number = labels.ndim == 2, scores.shape[1]
    if several:
        logits = not are_probabilities(scores, several) if logits is None else logits
        predicted, having = scores > (0 if logits else 0.5), labels > 0
    else:
        predicted, having = (F.one_hot(own, number) > 0 for own in (scores.argmax(dim=1), labels))
    right, claimed, videos = (one.sum(dim=0).double() for one in (predicted & having, predicted, having))
    averages = torch.full((number,), torch.nan)
    for label in torch.nonzero(videos).flatten().tolist() if several else []:
        averages[label] = _average_precision(scores[:, label], having[:, label])
    return ClassTable(
        videos.long().numpy(),
        right.long().numpy(),
        (right / videos).numpy(),
        (right / claimed).numpy(),
        (2 * right / (claimed + videos)).numpy(),
        averages.double().numpy(),
    )


def _average_precision(scores: Tensor, labels: Tensor) -> Tensor:
    """Area under precision by recall of scores ``(N,)``, of which the order alone matters: torchmetrics takes a sigmoid
    of scores that are no probabilities, by which large ones would become the same."""
    from torchmetrics.functional.classification import binary_average_precision  # which takes a moment to import

    places = scores.unique(return_inverse=True)[1].double()
    return binary_average_precision(places / len(scores), labels.long(), validate_args=False)


def are_probabilities(scores: Tensor, several: bool) -> bool:
    """Whether scores ``(N, K)`` are probabilities: of each class, or with one label a video of all of them together."""
    sums = scores.sum(dim=1)
    return bool(((scores >= 0) & (scores <= 1 + TOLERANCE)).all() and (several or ((sums - 1).abs() < TOLERANCE).all()))


def calibration(scores: Tensor, labels: Tensor) -> Calibration:
    """Compare scores with the shares of right predictions.

    With one label a video, its highest score is compared, in bins with a lower end that is in and an upper end that is
    not, but for 1. With several, each class's score is.

    Args:
        scores (Tensor): Probabilities ``(N, K)``.
        labels (Tensor): Classes ``(N,)``, or 0 and 1 for each class ``(N, K)``.
    """
    predicted, scores = scores.argmax(dim=1), scores.double().clamp(0, 1)
    if labels.ndim == 2:
        confidence, right = scores.flatten(), labels.double().flatten()
        nll = F.binary_cross_entropy(scores, labels.double())
        distance = (scores - labels).square().mean()
    else:
        confidence, right = scores.amax(dim=1), (predicted == labels).double()
        nll = F.nll_loss(scores.clamp(min=torch.finfo(torch.float32).tiny).log(), labels)
        distance = (scores - F.one_hot(labels, scores.shape[1])).square().sum(dim=1).mean()
    bins = torch.bucketize(confidence, torch.linspace(0, 1, BINS + 1, dtype=torch.float64)[1:-1], right=True)
    sums = [torch.zeros(BINS).double().index_add(0, bins, part) for part in (torch.ones_like(right), confidence, right)]
    ece = (sums[1] - sums[2]).abs().sum() / len(right)
    counts = sums[0]
    return Calibration(
        float(ece), float(nll), float(distance), counts.long().numpy(), *(part.div(counts).numpy() for part in sums[1:])
    )
