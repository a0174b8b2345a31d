"""Load batches with workers, and start workers that were lost anew."""

import logging
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from multiprocessing.connection import wait
from typing import Any

import torch
from mmengine.logging import print_log
from torch.utils.data import DataLoader, IterableDataset

from mmtsf import compat

from .sampler import SeededSampler
from .seeds import SeededItems
from .send_ahead import sent_ahead
from .worker_table import watched

#: Seconds between looks at the workers while a batch is waited for
LOOK = 1
#: Times that workers may be lost between videos, for which no video can be blamed, in the same batch
LOSSES = 10
#: How PyTorch's error begins when these seconds are over
LOOKING = 'DataLoader timed out'
#: What it raises without
PINNING = (
    'the thread of PyTorch that pins batches has ended, its own error stands above; where too many files are open, '
    'raise their number (ulimit -n), or set pin_memory=False of the data loader'
)
OVERTAKEN = (
    'another iteration over this data loader was begun within this one, and has its workers; build a second loader to '
    'look at batches meanwhile'
)
#: What a worker's death, or its silence, may raise where its batch is waited for
LOST = (RuntimeError, OSError, EOFError)


class VideoLoader(DataLoader):
    """PyTorch's data loader, which can begin in the middle of an epoch, and seeds each sample by a
    :class:`SeededIndex` of the sampler, whatever wrappers its data set consists of.

    A worker that dies or hangs at a video of a data set of mmtsf, also in a wrapper, costs that video, not the run:
    workers are started anew behind the last batch that was handed out. A video gets a second chance; then its data set
    is told to leave it out.

    Takes the arguments of :class:`torch.utils.data.DataLoader`, for a data set with indices, of which batches are made
    in order. Workers of data sets of mmtsf live on after an epoch, and those of any data set under a
    :class:`SeededSampler`, unless :attr:`keeps_workers` is False. One iteration is under way at a time: an older one
    that is asked for more raises.
    """

    #: Batches that the next iteration leaves out
    first_batch = 0
    #: Where stacked batches are sent, each one while the one before is computed with; None: they stay where they are
    device: torch.device | None = None
    #: Whether workers live on after an epoch, if their data set allows it
    keeps_workers = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.batch_sampler is None:
            raise ValueError('batch_size is None, expected a number: VideoLoader makes batches')
        if not self.in_order:
            raise ValueError('in_order is False, expected True: batches are handed out, and resumed, in their order')
        self.keeps_workers = kwargs.get('persistent_workers', True)
        self._watched = list(watched(self.dataset))
        self._batches = _Batches(self.batch_sampler)
        self._loader: DataLoader | None = None
        self._last: Any = None  # iterator of the loader
        self._newest: object = None  # of the iterations
        self._process = os.getpid()

    @classmethod
    def of(cls, loader: DataLoader, device: torch.device | None = None, keeps_workers: bool = True) -> DataLoader:
        """The same loader as one of these, with a :attr:`device`; as it is if its data set has no indices, or it makes
        no batches."""
        if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
            return loader
        names = ['batch_sampler'] if loader.batch_size is None else ['batch_size', 'sampler', 'drop_last']
        ours = cls(loader.dataset, **_arguments(loader), **{name: getattr(loader, name) for name in names})
        ours.device, ours.keeps_workers = device, keeps_workers
        return ours

    def __iter__(self) -> Iterator:  # type: ignore[override]
        # without workers, to read ahead saves nothing, and takes random numbers out of their order
        return sent_ahead(self._read(), self.device) if self.device and self.num_workers else self._read()

    def _read(self) -> Iterator:
        """Batches as the workers make them."""
        self._batches.begin(self.first_batch)
        self.first_batch, losses = 0, 0
        suspects: set[str] = set()
        iterator = self._begin()
        self._newest = this = object()
        asked = time.monotonic()
        while True:
            if self._newest is not this:
                raise RuntimeError(OVERTAKEN)
            try:
                batch = next(iterator)
            except StopIteration:
                return
            except LOST as error:
                if not self.num_workers or not self._watched:
                    raise
                lost = self._lost(iterator, error)
                if not lost and str(error).startswith(LOOKING):
                    self._check_wait(iterator, asked)
                    continue
                self._end(iterator)
                losses += any(video is None for video, _ in lost)
                if losses > LOSSES or not lost:
                    raise
                self._judge(lost, suspects)
                iterator = self._begin()
                continue
            self._batches.arrived()
            yield batch
            losses, asked = 0, time.monotonic()

    def _check_wait(self, iterator: Any, asked: float) -> None:
        """Raise if a batch, for which no worker is to blame, cannot come or is waited for as long as was allowed."""
        reason = '' if compat.pins(iterator) else PINNING
        if 0 < self.timeout <= time.monotonic() - asked:
            reason = reason or f'no batch came within timeout={self.timeout:g} s of the data loader'
        if reason:
            self._end(iterator)
            raise RuntimeError(reason)

    def _begin(self) -> Any:
        """Iterate over the batches that have not arrived."""
        for dataset in self._watched:
            dataset.worker_table.clear()
        if self.num_workers and self._watched:
            compat.ignore_dead_children()
        try:
            self._last = iter(self._start() if self._loader is None else self._loader)
        except LOST:  # a worker was lost since the last epoch, or does not answer
            if self._last is None:
                raise
            self._end(self._last)
            self._last = iter(self._start())
        return self._last

    def _start(self) -> DataLoader:
        """Make the loader that has the workers."""
        arguments = _arguments(self)
        if self.num_workers and self._watched:
            arguments |= dict(timeout=LOOK)
        if self.num_workers and (self._watched or isinstance(self.sampler, SeededSampler)):
            arguments |= dict(persistent_workers=self.keeps_workers)
        self._loader = DataLoader(SeededItems(self.dataset), batch_sampler=self._batches, **arguments)
        return self._loader

    def _end(self, iterator: Any) -> None:
        """End the workers at once; the next ones are new."""
        compat.end_data_workers(iterator)
        self._loader = self._last = None

    def __del__(self, is_exiting: Callable[[], bool] = sys.is_finalizing) -> None:
        """End the workers at once, but not from within one of them: where the loader is in a circle of garbage, PyTorch
        waits five seconds for each. When the interpreter exits, they are ended already, and names may be gone."""
        if not is_exiting() and self.__dict__.get('_process') == os.getpid():
            compat.end_data_workers(self._last)

    def _lost(self, iterator: Any, error: Exception) -> list[tuple[str | None, str]]:
        """Videos that cost their workers, and why."""
        lost: list[tuple[str | None, str]] = []
        workers = compat.data_workers(iterator)
        ending = wait([worker.sentinel for worker in workers], 0 if isinstance(error, RuntimeError) else LOOK)
        for number, worker in enumerate(workers):
            if worker.sentinel in ending:  # its connections close a moment before it is dead
                worker.join(LOOK)
            dataset = next((d for d in self._watched if d.worker_table.of(number) is not None), None)
            video = dataset and dataset.get_data_info(dataset.worker_table.of(number))['filename']
            if not worker.is_alive():
                lost.append((video, f'its decoder took the process down (exit code {worker.exitcode})'))
            elif dataset and dataset.worker_table.seconds(number) > dataset.time_limit:
                lost.append((video, f'it could not be read within {dataset.time_limit:g} s'))
        return lost

    def _judge(self, lost: list[tuple[str | None, str]], suspects: set[str]) -> None:
        """Have the videos left out that were suspected before."""
        for video, reason in lost:
            if video in suspects:
                for dataset in self._watched:
                    dataset.leave_out(video, reason)
                continue
            where = f'at {video}, which is tried once more: {reason}' if video else 'between videos'
            print_log(f'a data worker was lost {where}; workers are started anew', 'current', logging.WARNING)
            suspects |= {video} if video else set()


class _Batches:
    """Indices of batches; those that were handed out but have not arrived come first where they are asked for again.

    Args:
        batches (Iterable): Indices of the batches of an epoch.
    """

    def __init__(self, batches: Iterable) -> None:
        self.batches = batches
        self._rest: Iterator = iter(())
        self._under_way: deque = deque()

    def begin(self, first: int) -> None:
        """Begin an epoch at its batch number ``first``."""
        self._under_way.clear()
        batches = iter(self.batches)
        passed = list(islice(batches, first + 1))  # now, as some samplers draw their seed from PyTorch's with the first
        self._rest = chain(passed[first:], batches)

    def arrived(self) -> None:
        """Forget the oldest batch that is under way."""
        self._under_way.popleft()

    def __iter__(self) -> Iterator:
        yield from list(self._under_way)
        for batch in self._rest:
            self._under_way.append(batch)
            yield batch


def _arguments(loader: DataLoader) -> dict[str, Any]:
    """Arguments that a loader was made with, but those about its batches."""
    names = ['num_workers', 'collate_fn', 'pin_memory', 'timeout', 'worker_init_fn', 'multiprocessing_context']
    names += ['generator', 'prefetch_factor', 'persistent_workers', 'pin_memory_device', 'in_order']
    return {name: getattr(loader, name) for name in names}
