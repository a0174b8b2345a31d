"""Sample order and augmentation that depend on the seed alone."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from mmengine.dataset import DefaultSampler

from mmtsf.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """MMEngine's sampler that hands each index out with a seed of its own, for the dataset's augmentation.

    The seed is ``(seed, epoch, index)``, so that a clip is cut and flipped the same way whatever the number of
    workers, and after a resume. Takes the arguments of :class:`mmengine.dataset.DefaultSampler`.
    """

    #: Samples of this process to leave out of the next iteration
    start = 0

    def __iter__(self) -> Iterator[tuple[tuple[int, int, int], int]]:
        indices: Any = super().__iter__()
        return (((self.seed, self.epoch, index), index) for index in islice(indices, self.start, None))
