"""Tell the main process which video each data worker holds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import get_worker_info

MAX_WORKERS = 1024


class WorkerTable:
    """A table in shared memory with the index of the video that each worker is reading; it outlives the worker."""

    def __init__(self) -> None:
        # index + 1, and since when
        self._table = torch.zeros(MAX_WORKERS, 2, dtype=torch.int64, device='cpu').share_memory_()

    @contextmanager
    def hold(self, index: int) -> Iterator[None]:
        """Note a video while it is read, in a worker."""
        if (worker := get_worker_info()) is None:
            yield
            return
        row = self._table[worker.id]
        row[1] = time.monotonic_ns()  # a clock that processes share
        row[0] = index + 1
        try:
            yield
        finally:
            row[0] = 0

    def of(self, worker: int) -> int | None:
        """Index of the video that a worker holds, or held when it died."""
        return index - 1 if (index := int(self._table[worker, 0])) else None

    def seconds(self, worker: int) -> float:
        """How long a worker has held its video; 0 if it holds none."""
        return (time.monotonic_ns() - int(self._table[worker, 1])) / 1e9 if self.of(worker) is not None else 0

    def __deepcopy__(self, memo: dict) -> 'WorkerTable':
        """A table of its own, shared too, for the copy of a data set."""
        return WorkerTable()

    def clear(self) -> None:
        """Forget the workers of before."""
        self._table.zero_()


def watched(dataset: Any) -> Iterator[Any]:
    """Data sets in any wrappers that tell which videos their workers hold, as :class:`VideoListDataset` does."""
    if hasattr(dataset, 'worker_table'):
        yield dataset
        return
    for part in [getattr(dataset, 'dataset', None), *getattr(dataset, 'datasets', ())]:
        if part is not None:
            yield from watched(part)
