"""Data loading that outlives its workers."""

import logging
import signal
from collections.abc import Iterator
from multiprocessing.connection import wait
from typing import Any

from mmengine.logging import print_log
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling

#: Seconds between looks at the workers while a batch is waited for
LOOK = 1
#: Times that workers may be lost between videos, for which no video can be blamed, in the same batch
LOSSES = 10
#: How PyTorch's error begins when these seconds are over
LOOKING = 'DataLoader timed out'


class VideoLoader(DataLoader):
    """PyTorch's data loader, for which a worker that dies or hangs at a video costs that video, not the run.

    The workers are started anew behind the last batch that was handed out. A video gets a second chance; then the
    data set is told to leave it out. The data set must know which videos its workers hold (``worker_table``), its
    sampler be able
    to begin later (``start``). Takes the arguments of :class:`torch.utils.data.DataLoader`; workers live on.
    """

    dataset: Any
    sampler: Any
    batch_size: int
    #: Batches to leave out of the next iteration
    start = 0

    @classmethod
    def of(cls, loader: DataLoader) -> DataLoader:
        """The same loader as one of these; as it is if its sampler cannot begin later."""
        if not hasattr(loader.sampler, 'start') or loader.batch_size is None:
            return loader
        same: tuple[str, ...] = ('dataset', 'batch_size', 'sampler', 'num_workers', 'collate_fn', 'pin_memory')
        same += ('drop_last', 'worker_init_fn', 'prefetch_factor')
        arguments: dict[str, Any] = {name: getattr(loader, name) for name in same}
        has_workers = loader.num_workers > 0
        return cls(**arguments, timeout=LOOK if has_workers else 0, persistent_workers=has_workers)

    def __iter__(self) -> Iterator:  # type: ignore[override]
        done, self.start, losses = self.start, 0, 0
        suspects: set[str] = set()
        iterator = self._begin(done)
        while True:
            try:
                batch = next(iterator)
            except StopIteration:
                return
            except (RuntimeError, OSError, EOFError) as error:  # the latter two where a worker dies as it hands over
                if not self.num_workers:
                    raise
                lost = self._lost(iterator, error)
                if not lost and str(error).startswith(LOOKING):
                    continue
                self._end(iterator)
                losses += any(video is None for video, _ in lost)
                if losses > LOSSES or not lost:
                    raise
                self._judge(lost, suspects)
                iterator = self._begin(done)
                continue
            yield batch
            done, losses = done + 1, 0

    def _begin(self, done: int) -> Iterator:
        self.sampler.start = done * self.batch_size
        self.dataset.worker_table.clear()
        if self.num_workers:
            # PyTorch would raise a worker's death anywhere in this process; here it is found when a batch is waited for
            signal_handling._set_SIGCHLD_handler()  # which it does once, and not after this
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            return super().__iter__()
        except (RuntimeError, OSError, EOFError):  # a worker was lost since the last epoch, or does not answer
            if self._iterator is None:
                raise
            self._end(self._iterator)
            return super().__iter__()

    def _end(self, iterator: Any) -> None:
        """End the workers at once, whatever they do; the next ones are new."""
        for worker in iterator._workers:
            worker.kill()
        iterator._shutdown_workers()
        self._iterator = None

    def _lost(self, iterator: Any, error: Exception) -> list[tuple[str | None, str]]:
        """Videos that cost their workers, and why."""
        lost: list[tuple[str | None, str]] = []
        limit = self.dataset.time_limit
        ending = wait([worker.sentinel for worker in iterator._workers], 0 if isinstance(error, RuntimeError) else LOOK)
        for number, worker in enumerate(iterator._workers):
            if worker.sentinel in ending:  # its connections close a moment before it is dead
                worker.join(LOOK)
            if not worker.is_alive():
                lost.append((self._held(number), f'its decoder took the process down (exit code {worker.exitcode})'))
            elif self.dataset.worker_table.seconds(number) > limit:
                lost.append((self._held(number), f'it could not be read within {limit:g} s'))
        return lost

    def _held(self, worker: int) -> str | None:
        index = self.dataset.worker_table.of(worker)
        return None if index is None else self.dataset.get_data_info(index)['filename']

    def _judge(self, lost: list[tuple[str | None, str]], suspects: set[str]) -> None:
        """Have the videos left out that were suspected before."""
        for video, reason in lost:
            if video in suspects:
                self.dataset.leave_out(video, reason)
                continue
            where = f'at {video}, which is tried once more: {reason}' if video else 'between videos'
            print_log(f'a data worker was lost {where}; workers are started anew', 'current', logging.WARNING)
            suspects |= {video} if video else set()
