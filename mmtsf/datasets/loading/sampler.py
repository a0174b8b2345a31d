"""Give each sample a seed of its own, and those of shards an order that reads few shards at a time."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from mmengine.dataset import DefaultSampler

from mmtsf.registry import DATA_SAMPLERS

from .seeds import SeededIndex
from .worker_table import watched


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """MMEngine's sampler, whose indices carry seeds for the augmentation of their samples.

    The seed is ``(seed, epoch, index)``, so that a clip is cut and flipped the same way whatever the number of
    workers, and after a resume. The order depends on seed and epoch alone, too; several processes deal it out.

    Where a data set of shards has a ``window``, shuffling keeps to so many shards at a time: they come in a random
    order, and each of their samples is moved at random by up to half as many shards.

    Takes the arguments of :class:`mmengine.dataset.DefaultSampler`.

    Raises:
        ValueError: If a data set with a ``window`` lies in a wrapper, whose indices are others.
    """

    dataset: Any
    epoch: int

    def __init__(self, *base: Any, **more: Any) -> None:
        super().__init__(*base, **more)
        self.window: int | None = getattr(self.dataset, 'window', None)
        inner = [part for part in watched(self.dataset) if part is not self.dataset]
        if wrapped := next((part for part in inner if getattr(part, 'window', None)), None):
            raise ValueError(
                f'window is {wrapped.window}, but {type(self.dataset).__name__} wraps the shards; set data.window=None '
                'or leave the wrapper out'
            )

    def __iter__(self) -> Iterator[int]:
        order = self._in_windows(self.window) if self.window and self.shuffle else super().__iter__()
        return (SeededIndex(index, (self.seed, self.epoch, index)) for index in order)

    def _in_windows(self, window: int) -> Iterator[int]:
        """Indices of this process in an order whose neighbours are of few shards."""
        shards, places = self._shards
        chance = np.random.default_rng((self.seed, self.epoch))
        moved = chance.permutation(shards)[places] + 0.5 + min(window, shards) * (chance.random(len(places)) - 0.5)
        moved = shards - abs(shards - abs(moved))  # what would lie before the first or behind the last is reflected
        order = np.argsort(moved, kind='stable')
        return iter(np.resize(order, self.total_size)[self.rank : self.total_size : self.world_size].tolist())

    @cached_property
    def _shards(self) -> tuple[int, np.ndarray]:
        """How many shards there are, and which of them each sample lies in, numbered from 0."""
        numbers = [self.dataset.shard_of(index) for index in range(len(self.dataset))]
        found, places = np.unique(numbers, return_inverse=True)
        return len(found), places
