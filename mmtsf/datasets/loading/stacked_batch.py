"""Keep the clips of a batch in one tensor, and its labels in another."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate


class StackedBatch(dict):
    """A batch whose clips are views of one tensor, and whose labels are views of another.

    For preprocessors, hooks and metrics it is the dict of lists that it was made of. But a worker puts each of the two
    tensors into shared memory once, and it is pinned and sent to a device as a whole. Where other clips or labels were
    put into it, it goes on as a plain dict.

    Args:
        batch (dict): What the batch holds; a list of ``inputs`` gives way to the clips, labels of its samples to these.
        clips (Tensor): Of all samples, ``(B, N, 3, T, H, W)`` uint8 for N views.
        labels (Tensor, optional): Labels ``(B, K)`` of ``data_samples``. Defaults to None: these keep what they have.
    """

    def __init__(self, batch: dict, clips: Tensor, labels: Tensor | None = None) -> None:
        super().__init__(batch, inputs=list(clips))
        self.clips = clips
        self.labels = labels
        for sample, label in zip(batch['data_samples'], labels) if labels is not None else ():
            sample.gt_labels.item = label

    @property
    def tensors(self) -> list[Tensor]:
        """The clips, and the labels if they are stacked."""
        return [self.clips] if self.labels is None else [self.clips, self.labels]

    def is_whole(self) -> bool:
        """Whether clips and labels are still the views that they were; a user's collation may put others there."""
        return _are_views(self.get('inputs'), self.clips) and (
            self.labels is None
            or _are_views([_label_of(sample) for sample in self.get('data_samples', ())], self.labels)
        )

    def to(self, device: torch.device) -> 'StackedBatch':
        """The batch on a device, which may still be on its way there where this one is pinned."""
        return StackedBatch(self, *(tensor.to(device, non_blocking=True) for tensor in self.tensors))

    def pin_memory(self) -> dict:
        """The batch in pinned memory; PyTorch's data loader asks for it. One that is not whole stays where it is."""
        if not self.is_whole():
            return dict(self)
        return StackedBatch(self, *(tensor.pin_memory() for tensor in self.tensors))

    def __reduce__(self) -> tuple:
        if not self.is_whole():
            return dict, (dict(self),)
        rest = {key: value for key, value in self.items() if key != 'inputs'}
        if self.labels is not None:
            rest['data_samples'] = [_without_label(sample) for sample in rest['data_samples']]
        return _received, (rest, *self.tensors)


def stacked(batch: Any) -> Any:
    """A collated batch as a :class:`StackedBatch`; one whose ``inputs`` are not tensors of one shape stays as it is."""
    clips = batch.get('inputs') if isinstance(batch, dict) else None
    if not clips or not _are_alike(clips):
        return batch
    labels = [_label_of(sample) for sample in batch.get('data_samples', ())]
    return StackedBatch(batch, default_collate(clips), *([torch.stack(labels)] if _are_alike(labels) else []))


def _received(rest: dict, clips: Tensor, labels: Tensor | None = None) -> StackedBatch:
    """A batch in the process that gets it; metrics may keep labels, which are not to keep shared memory open."""
    return StackedBatch(rest, clips, labels if labels is None else labels.clone())


def _are_alike(values: Any) -> bool:
    """Whether values are a list of tensors that can be stacked."""
    are_tensors = isinstance(values, list) and all(isinstance(value, Tensor) for value in values)
    return are_tensors and len({(value.shape, value.dtype, value.layout, value.device) for value in values}) == 1


def _are_views(values: Any, whole: Tensor) -> bool:
    """Whether values are a list of the parts of a tensor along its first axis."""
    return (isinstance(values, list) and len(values) == len(whole)) and all(
        isinstance(value, Tensor) and value.dtype == whole.dtype and value.is_set_to(part)
        for value, part in zip(values, whole)
    )


def _label_of(sample: Any) -> Any:
    """Label of a data sample of MMAction2's; None of anything else."""
    return getattr(getattr(sample, 'gt_labels', None), 'item', None)


def _without_label(sample: Any) -> Any:
    """The same data sample, whose label goes another way."""
    bare = sample.new()
    bare.gt_labels = sample.gt_labels.new()
    bare.gt_labels.item = None
    return bare
