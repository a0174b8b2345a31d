"""Which video every data worker holds, for the process that waits for them."""

import atexit
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch.utils.data import get_worker_info


class InHand:
    """A file for each worker with the path of the video that it is reading; it outlives the worker."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix='mmtsf-videos-'))
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)  # of this process alone, not of workers

    @contextmanager
    def hold(self, video: str) -> Iterator[None]:
        """Around the reading of a video, in a worker."""
        if (worker := get_worker_info()) is None:
            yield
            return
        file = self._file(worker.id)
        file.write_text(video, encoding='utf-8')
        try:
            yield
        finally:
            os.truncate(file, 0)

    def of(self, worker: int) -> str | None:
        """Video that a worker holds, or held when it died."""
        file = self._file(worker)
        return (file.read_text(encoding='utf-8') if file.exists() else '') or None

    def seconds(self, worker: int) -> float:
        """How long a worker has held its video; 0 if it holds none."""
        return time.time() - self._file(worker).stat().st_mtime if self.of(worker) else 0

    def clear(self) -> None:
        for file in self._folder.iterdir():
            file.unlink()

    def _file(self, worker: int) -> Path:
        return self._folder / str(worker)
