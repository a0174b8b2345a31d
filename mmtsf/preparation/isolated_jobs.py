"""Run jobs each in a process of its own, so that a decoder that crashes or hangs takes nothing else with it."""

import signal
import time
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from multiprocessing import Process, SimpleQueue
from multiprocessing.connection import wait
from typing import Any

from mmtsf.datasets.decoders import BrokenVideoError


def run_isolated(
    work: Callable[..., None], jobs: Iterable[tuple[Any, ...]], workers: int, time_limit: float = float('inf')
) -> Generator[tuple[str, str], None, None]:
    """Call ``work`` for each ``(name, *arguments)``, so many at a time.

    Args:
        work (Callable): Function that raises :class:`BrokenVideoError` for a broken video.
        jobs (Iterable[tuple]): Names, and arguments of ``work``.
        workers (int): Processes at a time.
        time_limit (float): Seconds after which a video is taken for broken. Defaults to none.

    Yields:
        tuple[str, str]: Name, and the reason if the video is broken.

    Raises:
        RuntimeError: If ``work`` raises anything else.
    """
    waiting = iter(jobs)
    running: dict[Any, _Job] = {}
    try:
        while True:
            for name, *arguments in islice(waiting, workers - len(running)):
                job = _Job(name, work, arguments, time.monotonic() + time_limit)
                running[job.process.sentinel] = job
            if not running:
                return
            left = min(job.deadline for job in running.values()) - time.monotonic()
            ended = wait(list(running), None if time_limit == float('inf') else max(left, 0))
            for sentinel in ended or [key for key, job in running.items() if job.deadline <= time.monotonic()]:
                job = running.pop(sentinel)
                yield job.name, job.finish() if ended else job.stop(f'it could not be read within {time_limit:g} s')
    finally:
        for job in running.values():
            job.stop()


class _Job:
    def __init__(self, name: str, work: Callable[..., None], arguments: list, deadline: float) -> None:
        self.name, self.deadline = name, deadline
        self.reasons: SimpleQueue[str] = SimpleQueue()
        self.process = Process(target=self._run, args=(work, arguments), daemon=True)
        self.process.start()

    def _run(self, work: Callable[..., None], arguments: list) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its processes
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            work(*arguments)
        except BrokenVideoError as error:
            self.reasons.put(error.reason)

    def finish(self) -> str:
        """Wait for the process, and tell why the video is broken, if it is."""
        self.process.join()
        code = self.process.exitcode or 0
        if code > 0:
            raise RuntimeError(f'the work on {self.name} failed, see above')
        if code < 0:
            return f'the process that read it was killed by signal {-code}'
        return '' if self.reasons.empty() else self.reasons.get()

    def stop(self, reason: str = '') -> str:
        self.process.kill()
        self.process.join()
        return reason
