"""Define what every video reader offers."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from .broken import BrokenVideoError
from .limits import Limits


def stack(path: str, frames: Iterable[np.ndarray], places: np.ndarray, limits: Limits) -> np.ndarray:
    """Of ``frames`` ``(H, W, 3)``, those at ``places`` ``(N,)`` as ``(N, H, W, 3)``.

    Raises:
        BrokenVideoError: If they differ in size, or have more pixels together than the limits allow.
    """
    taken: list[np.ndarray] = []
    for frame in frames:
        if not taken:
            limits.check_sample(path, len(places), *frame.shape[:2])
        elif frame.shape != taken[0].shape:
            raise BrokenVideoError(path, 'its frames differ in size')
        taken.append(frame)
    return np.stack([taken[place] for place in places.tolist()])


class VideoReader(Protocol):
    """An opened video.

    Attributes:
        num_frames (int): Number of frames, at least 1.
        fps (float | None): Average frames a second; None where nothing says so.
        times (np.ndarray | None): Seconds from the beginning of the file at which each frame begins to be shown, and at
            which the last one ends ``(num_frames + 1,)``; None where nothing says so.
    """

    num_frames: int
    fps: float | None
    times: np.ndarray | None = None

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Frames at ``indices`` ``(N,)`` as RGB ``(N, H, W, 3)`` uint8, upright.

        Raises:
            BrokenVideoError: If a frame cannot be decoded.
        """

    def stream(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """Hand out frames at ascending ``indices``, no two the same, one after the other: RGB ``(H, W, 3)`` uint8.

        Raises:
            BrokenVideoError: If a frame cannot be decoded.
        """
        for index in indices:
            yield self.read(np.array([index]))[0]


def times_of(reader: VideoReader) -> np.ndarray:
    """Return the times of a video's frames, or their numbers where nothing tells when they are shown ``(N + 1,)``."""
    return np.arange(reader.num_frames + 1) if reader.times is None else reader.times


class ArrayReader(VideoReader):
    """Frames that are in memory already.

    Args:
        frames (np.ndarray): RGB ``(T, H, W, 3)`` uint8.
        fps (float | None): Frames a second. Defaults to None.
    """

    def __init__(self, frames: np.ndarray, fps: float | None = None) -> None:
        self.frames = frames
        self.num_frames = len(frames)
        self.fps = fps
        self.times = np.arange(len(frames) + 1) / fps if fps else None

    def read(self, indices: np.ndarray) -> np.ndarray:
        return self.frames[indices]
