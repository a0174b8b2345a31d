"""Videos, read by the first decoder that can."""

import os
from collections.abc import Callable, Sequence

import numpy as np

from .decord_reader import DecordReader
from .frame_folder import FrameFolderReader
from .pyav_reader import PyAVReader
from .reader import BrokenVideoError, VideoReader

DECODERS: dict[str, Callable[[str], VideoReader]] = {'decord': DecordReader, 'pyav': PyAVReader}


def open_video(path: str, decoders: Sequence[str] = ('decord', 'pyav')) -> VideoReader:
    """Open a video file, or a folder of frames.

    Args:
        path (str): Path of the file or folder.
        decoders (Sequence[str]): Names of decoders. The next one is asked where one cannot open the file or decode a
            frame. Defaults to ``('decord', 'pyav')``.

    Raises:
        BrokenVideoError: If the path does not exist or no decoder can open it.
    """
    if os.path.isdir(path):
        return FrameFolderReader(path)
    if not os.path.exists(path):
        raise BrokenVideoError(path, 'the file does not exist')
    if os.path.getsize(path) == 0:
        raise BrokenVideoError(path, 'the file is empty')
    return FirstThatCan(path, decoders)


class FirstThatCan:
    """A video file, handed from decoder to decoder until one can read it.

    decord finds no frames in streams without a duration and fails on some narrow frames (96 pixels, say); PyAV reads
    both, more slowly.
    """

    def __init__(self, path: str, decoders: Sequence[str]) -> None:
        self.path = path
        self._left = list(decoders)
        self._reasons: list[str] = []
        self._reader = self._next()
        self.num_frames = self._reader.num_frames
        self.fps = self._reader.fps

    def _next(self) -> VideoReader:
        while self._left:
            try:
                return DECODERS[self._left.pop(0)](self.path)
            except BrokenVideoError as error:
                self._reasons.append(error.reason)
        raise BrokenVideoError(self.path, '; '.join(self._reasons))

    def read(self, indices: np.ndarray) -> np.ndarray:
        while True:
            try:
                return self._reader.read(indices.clip(max=self._reader.num_frames - 1))
            except BrokenVideoError as error:
                self._reasons.append(error.reason)
                self._reader = self._next()
