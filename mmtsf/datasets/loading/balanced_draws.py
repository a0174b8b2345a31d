"""Draw the samples of an epoch so that rare classes come more often."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from mmtsf.datasets.class_counts import rarest


class BalancedDraws:
    """The samples of each epoch, as many as the data set has, with classes nearer to equal than they are in it.

    A class of ``n`` samples gets a share of the draws in proportion to ``n ** (1 - balance)``, rounded to whole samples
    and at least one. Each class is a deck of cards: it is dealt to the end, over epochs if need be, before it is
    shuffled anew, so that all of its samples come equally often. What an epoch draws depends on the seed and its number
    alone.

    A sample with several labels counts for the rarest of them.

    Args:
        labels (Sequence[Sequence[int]]): Labels of each sample.
        balance (float): From 0, all samples once, to 1, all classes as often.
    """

    def __init__(self, labels: Sequence[Sequence[int]], balance: float) -> None:
        #: Samples that have each label
        self.counts = Counter(label for several in labels for label in several)
        of_samples = [rarest(several, self.counts) for several in labels]
        self.classes, sizes = np.unique(of_samples, return_counts=True)
        self.decks = np.split(np.argsort(of_samples, kind='stable'), np.cumsum(sizes)[:-1])
        self.quotas = _whole(len(labels) * _shares(sizes, balance))

    def of_epoch(self, seed: int, epoch: int) -> np.ndarray:
        """Indices of the samples of an epoch, class by class."""
        drawn = [self._dealt(place, seed, epoch) for place in range(len(self.decks))]
        return np.concatenate(drawn)

    def _dealt(self, place: int, seed: int, epoch: int) -> np.ndarray:
        """Samples of one class: those that its deck, shuffled again and again, has at this epoch's turn."""
        deck, quota = self.decks[place], int(self.quotas[place])
        begin = epoch * quota
        rounds = range(begin // len(deck), (begin + quota - 1) // len(deck) + 1)
        # five numbers, as orders of epochs have two: NumPy takes a shorter seed for one that ends in zeros
        keys = [(seed, int(self.classes[place]) + 1, number, 0, 1) for number in rounds]
        cards = np.concatenate([np.random.default_rng(key).permutation(deck) for key in keys])
        return cards[begin % len(deck) :][:quota]


def occurrences(drawn: np.ndarray) -> np.ndarray:
    """Return how often each sample was drawn before, in the order of the draws."""
    order = np.argsort(drawn, kind='stable')
    times = np.empty_like(drawn)
    times[order] = np.arange(len(drawn)) - np.searchsorted(drawn[order], drawn[order])
    return times


def _shares(sizes: np.ndarray, balance: float) -> np.ndarray:
    powers = sizes.astype(float) ** (1 - balance)
    return powers / powers.sum()


def _whole(exact: np.ndarray) -> np.ndarray:
    """Round numbers of samples to whole ones, at least 1, with the same sum."""
    quotas = np.maximum(np.floor(exact), 1).astype(int)
    while (lack := round(exact.sum()) - quotas.sum()) > 0:
        quotas[(exact - quotas).argmax()] += 1
    for _ in range(-lack):
        quotas[np.where(quotas > 1, quotas - exact, -np.inf).argmax()] -= 1
    return quotas
