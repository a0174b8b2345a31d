"""Count the videos of each class of a data set, without decoding any."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.dataset import ConcatDataset, RepeatDataset


def labels_of(dataset: Any) -> list[list[int]]:
    """Return the labels of each sample of a data set in any wrappers, from what its list says.

    Args:
        dataset: One of ours, of MMAction2 or of MMEngine, or a wrapper of theirs.

    Raises:
        ValueError: If it tells no labels.
    """
    if type(dataset) is RepeatDataset:
        return labels_of(dataset.dataset) * dataset.times
    if type(dataset) is ConcatDataset:
        return [labels for part in dataset.datasets for labels in labels_of(part)]
    try:
        return [_labels_at(dataset, index) for index in range(len(dataset))]
    except (AttributeError, KeyError, NotImplementedError, TypeError) as error:
        raise ValueError(
            f'{type(dataset).__name__} does not tell its labels by get_data_info(index)["label"] '
            f'({type(error).__name__}: {error}); take one that does, or leave training.balance, class_weight and '
            'logit_adjustment out'
        ) from None


def count_classes(labels: Sequence[Sequence[int]], num_classes: int) -> np.ndarray:
    """Return how many samples each class has ``(K,)``.

    Args:
        labels (Sequence[Sequence[int]]): From :func:`labels_of`.
        num_classes (int): Number K of classes.

    Raises:
        ValueError: If a label is none of them.
    """
    found = np.array([label for several in labels for label in several], int)
    if odd := [label for label in found if not 0 <= label < num_classes]:
        raise ValueError(
            f'the training set has the label {odd[0]}, which is not in [0, {num_classes}); set data.num_classes to the '
            'number of classes'
        )
    return np.bincount(found, minlength=num_classes)


def rarest(labels: Sequence[int], counts: Mapping[int, int]) -> int:
    """Return which of a sample's labels the fewest samples have, or -1 of none."""
    return min(labels, key=lambda label: (counts[label], label), default=-1)


def _labels_at(dataset: Any, index: int) -> list[int]:
    """Labels of a sample as numbers: by themselves, as ours tell them, or one, several, or 0 and 1 for each class."""
    try:
        return list(dataset.get_cat_ids(index))
    except (AttributeError, NotImplementedError):
        label = dataset.get_data_info(index)['label']
    if isinstance(label, list):
        return label
    return np.flatnonzero(label).tolist() if getattr(label, 'ndim', 0) else [int(label)]
