"""Read videos that are NumPy files."""

import numpy as np

from mmtsf.datasets.decoders import DECODERS, BrokenVideoError, Limits, VideoReader


class NpyReader(VideoReader):
    """Frames ``(T, H, W, 3)``, RGB uint8, of a NumPy file."""

    fps = None

    def __init__(self, path: str, limits: Limits) -> None:
        try:
            self.frames = np.load(path, mmap_mode='r')
        except ValueError as error:
            raise BrokenVideoError(path, str(error)) from error
        self.num_frames = len(self.frames)

    def read(self, indices: np.ndarray) -> np.ndarray:
        return self.frames[indices]


DECODERS['npy'] = NpyReader
