"""Read videos with decord, or decord2, its maintained fork."""

import re
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np

from .broken import BrokenVideoError
from .limits import Limits
from .local_file import file_url, open_stream, takes_for_pattern
from .reader import VideoReader

#: Beginnings that an older FFmpeg, as that of decord may be, takes for playlists, whatever the file is called; it skips
#: tags of music
PLAYLIST = re.compile(rb'#EXTM3U|ffconcat|ID3')


@cache
def _decord() -> ModuleType:
    """Import decord when the first video is read with it, and keep it quiet."""
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    return decord


class DecordReader(VideoReader):
    """A video file read with decord, single-threaded: data loaders run one reader a worker.

    decord opens any file that FFmpeg knows, and frames of any size. So PyAV opens it first and checks both; a frame
    that becomes larger in mid-stream is beyond that.

    Args:
        path (str): Path of a video file.
        limits (Limits): Sizes above which it is refused. Defaults to generous ones.

    Raises:
        BrokenVideoError: If the file cannot be opened.
    """

    def __init__(self, path: str, limits: Limits = Limits()) -> None:
        self.path, self.limits = path, limits
        stream = open_stream(path, limits)
        self._size = stream.width, stream.height
        stream.container.close()
        with Path(path).open('rb') as file:
            if PLAYLIST.match(file.read(8)) or takes_for_pattern(path):
                raise BrokenVideoError(path, 'decord may take it for a list of files; set decoder=pyav')
        decord = _decord()
        try:
            self._video = decord.VideoReader(file_url(path), num_threads=1)
        except (RuntimeError, decord.DECORDError) as error:
            raise BrokenVideoError(path, 'decord finds no video that it can decode') from error
        self.num_frames = len(self._video)
        if self.num_frames == 0:
            raise BrokenVideoError(path, 'the video has no frames')
        limits.check_frames(path, self.num_frames)
        self.fps = self._video.get_avg_fps() or None

    def read(self, indices: np.ndarray) -> np.ndarray:
        self.limits.check_sample(self.path, len(indices), *self._size)
        decord = _decord()
        try:
            return self._video.get_batch(indices).asnumpy()
        except (RuntimeError, decord.DECORDError) as error:
            raise BrokenVideoError(self.path, f'decord cannot decode frames {indices.tolist()}') from error
