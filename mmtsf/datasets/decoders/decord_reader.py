"""Read videos with decord, or decord2, its maintained fork."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np

from .broken import BrokenVideoError
from .frame_index import Packet, decode_all, read_index
from .limits import Limits
from .local_file import file_url, takes_for_pattern
from .orientation import is_mirror, upright_shape
from .reader import VideoReader

REMEDY = "set decoder='pyav'"
#: Those in which decord gave the frames of a full decode, in any order, over all files at hand
CONTAINERS = {'mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm', 'avi'}
CODECS = {'av1', 'h264', 'hevc', 'mjpeg', 'mpeg4', 'vp8', 'vp9'}
WRONG = f'decord would count or show its frames wrongly, see docs/data.md; {REMEDY}'

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
        index, stream = read_index(path, limits, check_time)
        with Path(path).open('rb') as file:
            if PLAYLIST.match(file.read(8)) or takes_for_pattern(path):
                raise BrokenVideoError(path, f'decord may take it for a list of files; {REMEDY}')
        if stream is None:
            raise BrokenVideoError(path, WRONG)
        with stream.container:
            stream.container.seek(index.times[0], stream=stream)
            first = next(decode_all(path, stream, limits, check_time), None)
        is_known = index.container in CONTAINERS and index.codec in CODECS
        if first is None or is_mirror(first) or not is_known:
            raise BrokenVideoError(path, WRONG)
        self._shape = upright_shape(first)
        decord = _decord()
        try:
            self._video = decord.VideoReader(file_url(path), num_threads=1)
        except (RuntimeError, decord.DECORDError) as error:
            raise BrokenVideoError(path, f'decord finds no video that it can decode; {REMEDY}') from error
        self.fps, self.times, self.num_frames = index.fps, index.seconds, len(index.times)
        self.clock = index.clock
        is_plain = len(self._video) == self.num_frames == len(index.packets) and _groups_are_closed(index.packets)
        starts = [place for place, (_, is_start) in enumerate(index.packets) if is_start]
        if not is_plain or starts != self._video.get_key_indices():
            raise BrokenVideoError(path, WRONG)
        begun = self._video.get_frame_timestamp(range(self.num_frames))[:, 0]
        if not np.allclose(np.diff(begun), np.diff(self.times[:-1]), atol=1e-3):
            raise BrokenVideoError(path, WRONG)

    def read(self, indices: np.ndarray) -> np.ndarray:
        self.limits.check_sample(self.path, len(indices), *self._shape)
        decord = _decord()
        try:
            frames = self._video.get_batch(indices).asnumpy()
        except (RuntimeError, decord.DECORDError) as error:
            reason = f'decord cannot decode frames {indices.tolist()}; {REMEDY}'
            raise BrokenVideoError(self.path, reason) from error
        if frames.shape[1:3] != self._shape:  # those of another stream
            raise BrokenVideoError(self.path, WRONG)
        return frames


def _groups_are_closed(packets: list[Packet]) -> bool:
    """Whether no frame that is decoded after a start is shown before it."""
    least = float('inf')
    for time, is_start in reversed(packets):
        least = min(least, time or 0)
        if is_start and least < (time or 0):
            return False
    return True
