"""Give each sample a seed of its own."""

from collections.abc import Iterator

from mmengine.dataset import DefaultSampler

from mmtsf.registry import DATA_SAMPLERS

from .seeds import SeededIndex


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """MMEngine's sampler, whose indices carry seeds for the augmentation of their samples.

    The seed is ``(seed, epoch, index)``, so that a clip is cut and flipped the same way whatever the number of
    workers, and after a resume. Takes the arguments of :class:`mmengine.dataset.DefaultSampler`.
    """

    def __iter__(self) -> Iterator[int]:
        return (SeededIndex(index, (self.seed, self.epoch, index)) for index in super().__iter__())
