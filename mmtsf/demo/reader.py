"""Decode a visitor's video with a deadline."""

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mmtsf.datasets.decoders import BrokenVideoError, VideoReader
from mmtsf.datasets.transforms.read_video import blamed_on


class TimeIsUp(BrokenVideoError):
    """Report that a request's time is up."""


def deadline(end: float) -> Callable[[], None]:
    """Return a function that raises :class:`TimeIsUp` after that time on the monotonic clock."""

    def check_time() -> None:
        if time.monotonic() > end:
            raise TimeIsUp('video', 'its time is up')

    return check_time


def parts(seconds: Sequence[float] | np.ndarray, times: np.ndarray) -> list[float]:
    """Return times as parts of a video, from 0 to 1, whose frames are shown at ``times`` ``(N + 1,)``."""
    return ((np.asarray(seconds) - times[0]) / max(times[-1] - times[0], 1e-9)).round(5).tolist()


class TimedReader(VideoReader):
    """Decode a video with a deadline, and shrink its frames one by one to save memory.

    Args:
        reader (VideoReader): The video.
        end (float): Time on the monotonic clock.
        shrink (Callable, optional): From a frame ``(H, W, 3)`` to a smaller one. Defaults to None: as they are.
    """

    def __init__(self, reader: VideoReader, end: float, shrink: Callable | None = None) -> None:
        self.reader, self.end, self.shrink = reader, end, shrink
        self.num_frames, self.fps, self.times = reader.num_frames, reader.fps, reader.times
        self.check_time = deadline(end)
        vars(reader)['check_time'] = self.check_time  # many frames may be decoded on the way to a wanted one

    def stream(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        with blamed_on('video'):
            for frame in self.reader.stream(indices):
                self.check_time()
                yield self.shrink(frame) if self.shrink else frame

    def read(self, indices: np.ndarray) -> np.ndarray:
        wanted, places = np.unique(indices, return_inverse=True)
        frames = list(self.stream(wanted))
        with blamed_on('video'):  # its frames may differ in size
            return np.stack([frames[place] for place in places])
