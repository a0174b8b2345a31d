"""Data loading that outlives its workers."""

import os
import signal
from collections.abc import Iterator
from typing import Any

from mmengine.logging import print_log
from torch.utils.data import DataLoader

#: Seconds between looks at the workers while a batch is waited for
LOOK = 5
#: Times that the workers are started for the same batch
STARTS = 10


class VideoLoader(DataLoader):
    """PyTorch's data loader, for which a worker that dies or hangs at a video costs that video, not the run.

    The workers are started anew behind the last batch that was handed out. A video gets a second chance; then the data
    set is told to leave it out. The data set must know which videos its workers hold (``in_hand``), its sampler be able
    to begin later (``start``). Takes the arguments of :class:`torch.utils.data.DataLoader`.
    """

    dataset: Any
    sampler: Any
    batch_size: int
    #: Batches to leave out of the next iteration
    start = 0

    @classmethod
    def of(cls, loader: DataLoader) -> 'VideoLoader':
        """The same loader as one of these."""
        same: tuple[str, ...] = (
            'dataset',
            'batch_size',
            'sampler',
            'num_workers',
            'collate_fn',
            'pin_memory',
            'drop_last',
        )
        same += ('worker_init_fn', 'prefetch_factor', 'persistent_workers')
        arguments: dict[str, Any] = {name: getattr(loader, name) for name in same}
        return cls(**arguments, timeout=LOOK if loader.num_workers else 0)

    def __iter__(self) -> Iterator:  # type: ignore[override]
        done, self.start, starts = self.start, 0, 1
        suspects: set[str] = set()
        iterator = self._begin(done)
        while True:
            try:
                batch = next(iterator)
            except StopIteration:
                return
            except RuntimeError as error:
                if not self.num_workers or (lost := self._lost(iterator, error)) is None:
                    raise
                if lost:
                    starts += 1
                    if starts > STARTS:
                        raise
                    self._tell(lost, suspects)
                    iterator = self._begin(done)
                continue
            yield batch
            done, starts = done + 1, 1

    def _begin(self, done: int) -> Iterator:
        self.sampler.start = done * self.batch_size
        self._iterator = None
        iterator = super().__iter__()
        # PyTorch would raise a worker's death anywhere in this process; here it is found when a batch is waited for
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return iterator

    def _lost(self, iterator: Any, error: RuntimeError) -> list[tuple[str | None, str]] | None:
        """Videos that cost their workers, and why; none if the error is the time between looks; None if another."""
        lost = []
        in_hand, limit = self.dataset.in_hand, self.dataset.time_limit
        for number, worker in enumerate(iterator._workers):
            if not worker.is_alive():
                lost.append((in_hand.of(number), f'its decoder took the process down (exit code {worker.exitcode})'))
            elif in_hand.seconds(number) > limit:
                lost.append((in_hand.of(number), f'it could not be read within {limit:g} s'))
                os.kill(worker.pid, signal.SIGKILL)
        if lost:
            iterator._shutdown_workers()
            in_hand.clear()
        elif 'timed out' not in str(error):
            return None
        return lost

    def _tell(self, lost: list[tuple[str | None, str]], suspects: set[str]) -> None:
        """Have the videos left out that were suspected before."""
        for video, reason in lost:
            what = f'a data worker was lost at {video}: {reason}' if video else 'a data worker was lost between videos'
            print_log(f'{what}; workers are started anew', 'current')
            if video in suspects:
                self.dataset.leave_out(video, reason)
            elif video:
                suspects.add(video)
