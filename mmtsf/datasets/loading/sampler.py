"""Order samples, each with a seed of its own: rare classes more often, those of shards so that few are open at once."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from mmengine.dataset import DefaultSampler

from mmtsf.config.class_words import check_class_words
from mmtsf.datasets.class_counts import labels_of
from mmtsf.registry import DATA_SAMPLERS

from .balanced_draws import BalancedDraws, occurrences
from .seeds import SeededIndex
from .worker_table import watched


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """MMEngine's sampler, whose indices carry seeds for the augmentation of their samples.

    The seed is ``(seed, epoch, index)``, so that a clip is cut and flipped the same way whatever the number of
    workers, and after a resume. The order depends on seed and epoch alone, too; several processes deal it out.

    Where a data set of shards has a ``window``, shuffling keeps to so many shards at a time: they come in a random
    order, and each of their samples is moved at random by up to half as many shards.

    With a ``balance``, an epoch has as many samples as the data set, rare classes more often than they are in it, see
    :class:`BalancedDraws`. A sample that is drawn again in an epoch has a seed of its own.

    Takes the arguments of :class:`mmengine.dataset.DefaultSampler` as well.

    Args:
        balance (float): How evenly classes are drawn, from 0, as they are, to 1, all the same. Defaults to 0.

    Raises:
        ValueError: If a data set with a ``window`` lies in a wrapper, whose indices are others; or there is a
            ``balance``, and the order is not random, or the data set tells no labels.
    """

    dataset: Any
    epoch: int
    draws: BalancedDraws | None = None

    def __init__(self, *base: Any, balance: float = 0.0, **more: Any) -> None:
        super().__init__(*base, **more)
        self.window: int | None = getattr(self.dataset, 'window', None)
        inner = [part for part in watched(self.dataset) if part is not self.dataset]
        if wrapped := next((part for part in inner if getattr(part, 'window', None)), None):
            raise ValueError(
                f'window is {wrapped.window}, but {type(self.dataset).__name__} wraps the shards; set data.window=None '
                'or leave the wrapper out'
            )
        self.set_balance(balance)

    def set_balance(self, balance: float, labels: Sequence[Sequence[int]] | None = None) -> None:
        """Choose how evenly classes are drawn, from the next epoch on; our data sets replace broken videos accordingly.

        Args:
            balance (float): From 0, as they are, to 1, all the same.
            labels (Sequence[Sequence[int]], optional): Labels of each sample. Defaults to None: the data set tells
                them.

        Raises:
            ValueError: If it is no such number, or the order is not random.
        """
        check_class_words(balance)
        if balance and not self.shuffle:
            raise ValueError(f'balance is {balance}, but shuffle is False; set shuffle=True of the sampler')
        self.draws = BalancedDraws(labels_of(self.dataset) if labels is None else labels, balance) if balance else None
        for part in watched(self.dataset):
            part.class_counts = self.draws and self.draws.counts

    def __iter__(self) -> Iterator[int]:
        if not self.shuffle or not (self.window or self.draws):
            return (SeededIndex(index, (self.seed, self.epoch, index)) for index in super().__iter__())
        drawn = self.draws.of_epoch(self.seed, self.epoch) if self.draws else np.arange(len(self.dataset))
        chance = np.random.default_rng((self.seed, self.epoch))
        order = self._in_windows(drawn, self.window, chance) if self.window else chance.permutation(drawn)
        pairs = np.stack([order, occurrences(order)], axis=1)
        own = np.resize(pairs, (self.total_size, 2))[self.rank : self.total_size : self.world_size].tolist()
        return (SeededIndex(index, (self.seed, self.epoch, index, *([again] if again else []))) for index, again in own)

    def _in_windows(self, drawn: np.ndarray, window: int, chance: np.random.Generator) -> np.ndarray:
        """Samples in an order whose neighbours are of few shards."""
        shards, places = self._shards
        moved = chance.permutation(shards)[places[drawn]]
        moved = moved + 0.5 + min(window, shards) * (chance.random(len(drawn)) - 0.5)
        moved = shards - abs(shards - abs(moved))  # what would lie before the first or behind the last is reflected
        return drawn[np.argsort(moved, kind='stable')]

    @cached_property
    def _shards(self) -> tuple[int, np.ndarray]:
        """How many shards there are, and which of them each sample lies in, numbered from 0."""
        numbers = [self.dataset.shard_of(index) for index in range(len(self.dataset))]
        found, places = np.unique(numbers, return_inverse=True)
        return len(found), places
