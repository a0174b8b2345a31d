"""What every decoder offers, and the error they share."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np


class BrokenVideoError(Exception):
    """A file that gives no clip: missing, truncated, without a video stream, or not a video at all."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f'{path}: {reason}')
        self.reason = reason


def stack(path: str, frames: dict[int, np.ndarray], indices: np.ndarray) -> np.ndarray:
    """Frames ``(H, W, 3)`` at ``indices`` ``(N,)`` as ``(N, H, W, 3)``.

    Raises:
        BrokenVideoError: If they differ in size.
    """
    if len({frame.shape for frame in frames.values()}) > 1:
        raise BrokenVideoError(path, 'its frames differ in size')
    return np.stack([frames[i] for i in indices.tolist()])


class VideoReader(Protocol):
    """An opened video.

    Attributes:
        num_frames (int): Number of frames, at least 1.
        fps (float | None): Average frames a second; None where nothing says so.
    """

    num_frames: int
    fps: float | None

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

    def read(self, indices: np.ndarray) -> np.ndarray:
        return self.frames[indices]
