"""Read videos with decord, or decord2, its maintained fork."""

from collections.abc import Callable
from functools import cache
from types import ModuleType

import numpy as np

from .broken import BrokenVideoError
from .limits import Limits
from .local_file import file_url
from .orientation import upright_shape
from .plain_index import REMEDY, read_plain_index, wrong
from .reader import VideoReader


@cache
def _decord() -> ModuleType:
    """Import decord when the first video is read with it, and keep it quiet."""
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    return decord


class DecordReader(VideoReader):
    """A video file read with decord, single-threaded: data loaders run one reader a worker.

    decord opens any file that FFmpeg knows, counts packets instead of frames, believes key-frame flags and knows no
    mirrored videos. So PyAV opens the file first, and decord reads those alone in which it was found right, see
    ``docs/data.md``: in containers and codecs of a list, where its frames, their times and the places at which decoding
    starts are those that PyAV finds. A frame that becomes larger in mid-stream is beyond that.

    Args:
        path (str): Path of a video file.
        limits (Limits): Sizes above which it is refused. Defaults to generous ones.
        check_time (Callable): Called before packets are decoded; ends the opening by raising. Defaults to nothing.

    Raises:
        BrokenVideoError: If the file cannot be opened, or decord may read it wrongly.
    """

    def __init__(self, path: str, limits: Limits = Limits(), check_time: Callable[[], None] = lambda: None) -> None:
        self.path, self.limits = path, limits
        index, first, _, _ = read_plain_index('decord', path, limits, check_time)
        self._shape = upright_shape(first)
        decord = _decord()
        try:
            self._video = decord.VideoReader(file_url(path), num_threads=1)
        except (RuntimeError, decord.DECORDError) as error:
            raise BrokenVideoError(path, f'decord finds no video that it can decode; {REMEDY}') from error
        self.fps, self.times, self.num_frames = index.fps, index.seconds, len(index.times)
        self.clock = index.clock
        starts = [place for place, (_, is_start) in enumerate(index.packets) if is_start]
        if len(self._video) != self.num_frames or starts != self._video.get_key_indices():
            raise BrokenVideoError(path, wrong('decord'))
        begun = self._video.get_frame_timestamp(range(self.num_frames))[:, 0]
        if not np.allclose(np.diff(begun), np.diff(self.times[:-1]), atol=1e-3):
            raise BrokenVideoError(path, wrong('decord'))

    def read(self, indices: np.ndarray) -> np.ndarray:
        self.limits.check_sample(self.path, len(indices), *self._shape)
        decord = _decord()
        try:
            frames = self._video.get_batch(indices).asnumpy()
        except (RuntimeError, decord.DECORDError) as error:
            reason = f'decord cannot decode frames {indices.tolist()}; {REMEDY}'
            raise BrokenVideoError(self.path, reason) from error
        if frames.shape[1:3] != self._shape:  # those of another stream
            raise BrokenVideoError(self.path, wrong('decord'))
        return frames
