"""Send batches to a GPU while it computes with the ones before."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import torch

from .stacked_batch import StackedBatch


def sent_ahead(batches: Iterable, device: torch.device) -> Iterator:
    """Hand out batches on a device, each of which is sent there while the one before is computed with.

    Batches that are not stacked are handed out as they are. An error comes where its batch would, behind those before.

    Args:
        batches (Iterable): Batches, pinned for a copy that nothing waits for.
        device (torch.device): A GPU; on a CPU, the order of things is the same.

    Yields:
        Any: The batches.
    """
    stream = _stream(torch.empty(0, device=device).device) if device.type == 'cuda' else None
    ahead: list[tuple] = []
    error, rest = None, iter(batches)
    while True:
        following = []
        try:
            following.append(_sent(next(rest), device, stream))
        except StopIteration:
            pass
        except Exception as raised:  # noqa: BLE001  # whatever it is, it waits for its turn
            error = raised
        while ahead:
            yield _arrived(*ahead.pop())
        if error is not None:
            raise error
        if not following:
            return
        ahead = following


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The stream that copies batches to a device: each keeps memory of its own, so all epochs share one."""
    return torch.cuda.Stream(device)


def _sent(batch: Any, device: torch.device, stream: torch.cuda.Stream | None) -> tuple[Any, torch.cuda.Event | None]:
    """A batch on its way to a device, and what happens when it is there; None where there is nothing to wait for."""
    if not isinstance(batch, StackedBatch) or not batch.is_whole():
        return batch, None
    with torch.cuda.stream(stream):
        return batch.to(device), None if stream is None else stream.record_event()


def _arrived(batch: Any, event: torch.cuda.Event | None) -> Any:
    """A batch that may be computed with: the GPU waits for its copy, this process does not."""
    if event is not None:
        current = torch.cuda.current_stream(batch.clips.device)
        current.wait_event(event)
        for tensor in batch.tensors:
            tensor.record_stream(current)  # else its memory would be taken for another batch while it is computed with
    return batch
