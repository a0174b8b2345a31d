"""decord, or its maintained fork decord2: seeks to key frames and applies rotation."""

import decord
import numpy as np

from .limits import Limits
from .reader import BrokenVideoError, VideoReader

decord.logging.set_level(decord.logging.QUIET)


class DecordReader(VideoReader):
    """A video file read with decord, single-threaded: data loaders run one reader a worker.

    Args:
        path (str): Path of a video file.

    Raises:
        BrokenVideoError: If the file cannot be opened.
    """

    def __init__(self, path: str, limits: Limits = Limits()) -> None:
        self.path, self.limits = path, limits
        try:
            self._video = decord.VideoReader(path, num_threads=1)
        except (RuntimeError, decord.DECORDError) as error:
            raise BrokenVideoError(path, 'decord finds no video that it can decode') from error
        self.num_frames = len(self._video)
        if self.num_frames == 0:
            raise BrokenVideoError(path, 'the video has no frames')
        self.fps = self._video.get_avg_fps() or None

    def read(self, indices: np.ndarray) -> np.ndarray:
        try:
            return self._video.get_batch(indices).asnumpy()
        except (RuntimeError, decord.DECORDError) as error:
            raise BrokenVideoError(self.path, f'decord cannot decode frames {indices.tolist()}') from error
