"""Find the files that a decoder which believes containers reads as PyAV does."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import av

from .broken import BrokenVideoError
from .frame_index import FrameIndex, Packet, decode_all, read_index
from .limits import Limits
from .local_file import takes_for_pattern
from .orientation import is_mirror

REMEDY = "set decoder='pyav'"
#: Those in which the other decoders gave the frames of a full decode, in any order, over all files at hand
CONTAINERS = {'mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm', 'avi'}
CODECS = {'av1', 'h264', 'hevc', 'mjpeg', 'mpeg4', 'vp8', 'vp9'}

#: Beginnings that an older FFmpeg, as that of another decoder may be, takes for playlists, whatever the file is called;
#: it skips tags of music
PLAYLIST = re.compile(rb'#EXTM3U|ffconcat|ID3')


class PlainIndex(NamedTuple):
    """Index of a plain file.

    Attributes:
        frames (FrameIndex): Its frames, each shown by one packet, with their times.
        first (VideoFrame): The first frame.
        stream (int): Number of the stream in the file.
        unit (float): Seconds of a unit of the times.
    """

    frames: FrameIndex
    first: av.VideoFrame
    stream: int
    unit: float


def wrong(decoder: str) -> str:
    """Why a file is refused that another decoder opens, but does not read as PyAV does."""
    return f'{decoder} would count or show its frames wrongly, see docs/data.md; {REMEDY}'


def read_plain_index(decoder: str, path: str, limits: Limits, check_time: Callable[[], None]) -> PlainIndex:
    """Index a file with PyAV, and refuse it unless all that it shows can be told from its packets.

    Args:
        decoder (str): Name of the decoder that is to read it.
        path (str): Path of a file.
        limits (Limits): Sizes above which it is refused.
        check_time (Callable): Called before packets are decoded; ends the reading by raising.

    Raises:
        BrokenVideoError: If PyAV cannot open it, or the decoder may read it wrongly: for its container, its codec,
            packets that show no frame, open groups of pictures, or a mirrored display.
    """
    index, stream = read_index(path, limits, check_time)
    with Path(path).open('rb') as file:
        if PLAYLIST.match(file.read(8)) or takes_for_pattern(path):
            raise BrokenVideoError(path, f'{decoder} may take it for a list of files; {REMEDY}')
    if stream is None:
        raise BrokenVideoError(path, wrong(decoder))
    with stream.container:
        stream.container.seek(index.times[0], stream=stream)
        first = next(decode_all(path, stream, limits, check_time), None)
        number, unit = stream.index, float(stream.time_base)
    is_known = index.container in CONTAINERS and index.codec in CODECS
    is_plain = len(index.times) == len(index.packets) and _groups_are_closed(index.packets)
    if first is None or is_mirror(first) or not is_known or not is_plain:
        raise BrokenVideoError(path, wrong(decoder))
    return PlainIndex(index, first, number, unit)


def _groups_are_closed(packets: list[Packet]) -> bool:
    """Whether no frame that is decoded after a start is shown before it."""
    least = float('inf')
    for time, is_start in reversed(packets):
        least = min(least, time or 0)
        if is_start and least < (time or 0):
            return False
    return True
