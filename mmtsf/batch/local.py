"""Work through videos on this machine: they are prepared in processes of their own, and finished in this one."""

from collections.abc import Generator, Iterable
from contextlib import closing
from itertools import islice

from .isolated import IsolatedCalls
from .job import Job, Result


class LocalEngine:
    """A job with what it has loaded, and the processes that prepare videos for it.

    Args:
        job (Job): What is done with each video.
        workers (int): Processes.
    """

    def __init__(self, job: Job, workers: int) -> None:
        job.load()
        self.job, self.calls = job, IsolatedCalls(job.prepare, workers, job.time_limit, job.alone)

    def run(self, videos: Iterable[str]) -> Generator[Result, None, None]:
        """Yield what becomes of each video; the next ones are prepared meanwhile."""
        with closing(self.calls.run(videos, self.job.in_order)) as prepared:
            while batch := list(islice(prepared, self.job.batch_size)):
                yield from self.job.finish(batch)

    def close(self) -> None:
        """End the processes."""
        self.calls.close()


def run_locally(job: Job, videos: Iterable[str], workers: int) -> Generator[Result, None, None]:
    """Yield what becomes of each video, see :meth:`LocalEngine.run`."""
    with closing(LocalEngine(job, workers)) as engine:
        yield from engine.run(videos)
