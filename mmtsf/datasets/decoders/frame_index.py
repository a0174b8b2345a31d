"""Find out which frames a video file shows, when, and where decoding of each may start."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import av
import numpy as np

from .bitstream import DAMAGED, INSPECTORS, Picture, length_size
from .broken import BrokenVideoError
from .frame_numbers import FrameNumbers
from .limits import Limits
from .local_file import A_LARGE_FRAME, TOO_LARGE, open_stream

#: Pictures that a decoder may hold back; where more are out of order, times begin anew in mid-file
MOST_REORDERED = 16
#: Bytes of decoded frames that are kept where all had to be decoded to know them
KEPT_BYTES = 2**26
#: What :attr:`field_order` says of frames that are no pairs of fields
PROGRESSIVE = 1
#: Frames a second where nothing tells when they are shown
DEFAULT_RATE = 25
#: Seconds by which the beginning of a file and its first frame differ where they are the same
ROUNDING = 1e-4
NO_FRAMES = 'no frame of it can be decoded'
#: Codecs whose frames may refer to several others, so that one that is missing may be missed much later
WITH_MISSING = {'h264', 'hevc'}
ENCRYPTION = ('encryption_info', 'encryption_init_info')


#: When a packet is shown, in units of the stream, or None; and whether all frames that are shown no earlier can be
#: decoded from there on
Packet = tuple[int | None, bool]


class Clock(NamedTuple):
    """Times of a file's frames in units of its stream, as its container tells them; the released code samples by them.

    Attributes:
        times (list[int]): When each frame is shown.
        duration (int): Length of the video.
        num_frames (int): Frames that the header promises.
    """

    times: list[int]
    duration: int
    num_frames: int


@dataclass
class FrameIndex:
    """Frames of a file in the order in which they are shown: those that decoding all of it gives.

    Attributes:
        seconds (np.ndarray): When each frame begins to be shown, counted from the beginning of the file, and when the
            last one ends ``(N + 1,)``.
        fps (float | None): Average frames a second; None of a single frame whose file does not tell it.
        container (str): FFmpeg's names of the format of the file.
        codec (str): FFmpeg's name of the codec.
        times (list[int]): Times of the frames in units of the stream; empty where frames must be counted.
        packets (list[Packet]): All packets in the order of decoding, where times tell frames.
        is_flagged (bool): Whether the container flags as key frames those at which decoding may start, and no others.
        clock (Clock | None): The times as the container tells them; None where it does not tell its length.
        frames (list): The frames themselves, where all were decoded and they are small.
        lost (int): Packets that are known to be damaged or missing.
    """

    seconds: np.ndarray
    fps: float | None
    container: str
    codec: str
    times: list[int] = field(default_factory=list)
    packets: list[Packet] = field(default_factory=list)
    is_flagged: bool = False
    clock: Clock | None = None
    frames: list[av.VideoFrame] = field(default_factory=list)
    lost: int = 0


def read_index(path: str, limits: Limits, check_time: Callable[[], None]) -> tuple[FrameIndex, Any]:
    """Find the frames of a file from its packets, or where these do not tell by decoding it.

    Args:
        path (str): Path of a file.
        limits (Limits): Sizes above which it is refused.
        check_time (Callable): Called for each packet that is decoded; ends the reading by raising.

    Raises:
        BrokenVideoError: If it cannot be opened, is encrypted or shows no frame.

    Returns:
        tuple[FrameIndex, VideoStream | None]: The index, and the stream at its end, where it may be read again.
    """
    stream = open_stream(path, limits)
    index = None
    try:
        found = _read_packets(path, stream, limits)
        if found is not None and _is_known(stream, found):
            index = _index_packets(path, stream, found)
    finally:
        if index is None or not index.times:
            stream.container.close()
    if index is None:
        index = decode_index(path, limits, check_time)
    return index, stream if index.times else None


@dataclass
class _Found:
    """Packets in the order of decoding: times of presentation and decoding, whether an edit list hides them and the
    container flags them as key frames, what they hold; and how long the last one is shown."""

    pts: list[int | None] = field(default_factory=list)
    dts: list[int | None] = field(default_factory=list)
    is_hidden: list[bool] = field(default_factory=list)
    is_key: list[bool] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    last: int | None = None


def _read_packets(path: str, stream: Any, limits: Limits) -> _Found | None:
    """All packets; None where one does not tell what it shows."""
    context = stream.codec_context
    codec, found, latest = context.codec.canonical_name, _Found(), 0
    look, size = INSPECTORS.get(codec, lambda *_: None), length_size(codec, context.extradata)
    try:
        for packet in islice(stream.container.demux(stream), limits.frames + 2):
            if not packet.size:
                continue
            if not found.pts and any(map(packet.has_sidedata, ENCRYPTION)):
                raise BrokenVideoError(path, 'it is encrypted')
            picture = look(bytes(packet), size)
            if picture is None or packet.is_corrupt:
                return None
            time = packet.pts
            if time is not None and time >= latest:
                latest, found.last = time, packet.duration
            found.pts.append(time)
            found.dts.append(packet.dts)
            found.is_hidden.append(packet.is_discard or not picture.shown)
            found.is_key.append(packet.is_keyframe)
            found.pictures.append(picture)
    except (av.InvalidDataError, *DAMAGED):
        return None
    limits.check_frames(path, len(found.pts))
    return found


def _is_known(stream: Any, found: _Found) -> bool:
    """Whether every picture that a packet shows is decoded as a frame: what comes first needs nothing before it."""
    pictures = found.pictures
    if not pictures or not pictures[0].is_start or pictures[0].is_open:
        return False
    if stream.codec_context.name == 'h264' and stream.codec_context.field_order != PROGRESSIVE:
        return False  # two packets may show one frame
    if stream.codec_context.name == 'hevc' and any(found.is_hidden):
        return False  # where an edit list jumps, frames are lost
    first = next((picture for picture in pictures[1:] if picture.shown and not picture.is_start), None)
    return first is None or not first.is_bidirectional


def _index_packets(path: str, stream: Any, found: _Found) -> FrameIndex | None:
    """Index of known packets; None where their times contradict each other."""
    count = found.is_hidden.count(False)
    if not count:
        raise BrokenVideoError(path, NO_FRAMES)
    # AVI keeps the order of decoding alone; with frames that are shown in another one, times are guesses
    is_guess = stream.container.format.name == 'avi' and stream.codec_context.has_b_frames
    shown = zip(found.dts if is_guess else found.pts, found.is_hidden)
    times = [time for time, is_hidden in shown if not is_hidden and time is not None]
    is_timed = len(set(times)) == count and _is_reordered_a_little(times)
    if len(times) == count and not is_timed:
        return None
    times = sorted(times)
    if _has_holes(times) and not _is_complete(path, stream):
        return None  # frames that refer to those of missing packets are missing or wrong
    index = _timed(stream, times if is_timed else [None] * count, found.last)
    if is_timed and not is_guess:
        index.times = times
        index.packets = [
            (time if picture.shown else None, picture.is_start) for time, picture in zip(found.pts, found.pictures)
        ]
        index.is_flagged = found.is_key == [picture.is_start for picture in found.pictures]
    return index


def _has_holes(times: list[int]) -> bool:
    steps = np.diff(times)
    return len(steps) > 0 and bool(steps.max() > 1.5 * np.median(steps))


def _is_complete(path: str, stream: Any) -> bool:
    """Whether no packet is missing to which frames may refer, where times have holes; of H.265 nothing tells it."""
    context = stream.codec_context
    if context.name not in WITH_MISSING:
        return True
    if context.name != 'h264':
        return False
    extradata = context.extradata or b''
    numbers = FrameNumbers(extradata, length_size('h264', extradata))
    again = open_stream(path, again=True)
    with again.container:
        try:
            return all(numbers.follows(bytes(packet)) for packet in again.container.demux(again) if packet.size)
        except (av.InvalidDataError, *DAMAGED):
            return False


def _is_reordered_a_little(times: list[int]) -> bool:
    if times == sorted(times):
        return True
    order = sorted(range(len(times)), key=times.__getitem__)
    return all(abs(place - number) <= MOST_REORDERED for number, place in enumerate(order))


def _timed(stream: Any, times: Sequence[int | None], duration: int | None) -> FrameIndex:
    """Index of frames with these times, of which the last one has a duration, in units of the stream.

    Where headers and times differ, times are right. Where there are no times, frames follow at the rate of the header.
    """
    fps = float(stream.average_rate) if stream.average_rate else None
    count, unit = len(times), float(stream.time_base)
    names = dict(container=stream.container.format.name, codec=stream.codec_context.codec.canonical_name)
    given = [time for time in times if time is not None]
    if len(given) < count or not (np.diff(given) > 0).all():
        return FrameIndex(np.arange(count + 1) / (fps or DEFAULT_RATE), fps, **names)
    seconds = np.array(given) * unit
    if span := seconds[-1] - seconds[0]:
        measured = float((count - 1) / span)
        if fps is None or abs(fps / measured - 1) > max(0.01, 2 * unit / span):
            fps = measured
    start = stream.container.start_time
    begin = min(seconds[0], seconds[0] if start is None else start / av.time_base)
    seconds -= begin if seconds[0] - begin > ROUNDING else seconds[0]
    lasts = duration * unit if duration and duration > 0 else 1 / (fps or DEFAULT_RATE)
    clock = Clock(given, stream.duration, stream.frames) if stream.duration and stream.frames else None
    return FrameIndex(np.append(seconds, seconds[-1] + lasts), fps, clock=clock, **names)


def decode_all(
    path: str,
    stream: Any,
    limits: Limits,
    check_time: Callable[[], None] = lambda: None,
    tally: Counter[str] | None = None,
) -> Iterator[av.VideoFrame]:
    """Decode all frames from the first one on. What is damaged costs its own frames, as in FFmpeg.

    Args:
        path (str): Path of the file.
        stream (VideoStream): From :func:`.open_stream`.
        limits (Limits): Sizes above which it is refused.
        check_time (Callable): Called for each packet; ends the decoding by raising. Defaults to nothing.
        tally (Counter, optional): Gets the numbers of ``packets`` and of those that are ``damaged``. Defaults to None.

    Raises:
        BrokenVideoError: If a frame is larger than the limits.
    """
    packets, tally = stream.container.demux(stream), Counter() if tally is None else tally
    while True:
        check_time()
        try:
            packet = next(packets)
        except (StopIteration, av.InvalidDataError):
            return
        try:
            for frame in packet.decode() if packet.size else stream.codec_context.decode(None):
                tally['damaged'] += frame.is_corrupt
                yield frame
        except av.FFmpegError as error:
            context = stream.codec_context
            if TOO_LARGE in str(error) or context.width * context.height > limits.frame_pixels:
                raise BrokenVideoError(path, A_LARGE_FRAME) from error
            tally['damaged'] += 1
        if not packet.size:
            return
        tally['packets'] += 1


def decode_index(path: str, limits: Limits, check_time: Callable[[], None]) -> FrameIndex:
    """Find the frames of a file by decoding it; the arguments are those of :func:`read_index`.

    Raises:
        BrokenVideoError: If no frame can be decoded, or frames differ in size.
    """
    times: list[int | None] = []
    frames: list[av.VideoFrame] = []
    tally: Counter[str] = Counter()
    sizes, size, duration = set(), 0, None
    stream = open_stream(path, limits, again=True)
    with stream.container:
        for frame in decode_all(path, stream, limits, check_time, tally):
            times.append(frame.pts)
            sizes.add((frame.width, frame.height))
            if len(sizes) > 1:
                raise BrokenVideoError(path, 'its frames differ in size')
            limits.check_frames(path, len(times))
            duration, size = frame.duration, size + sum(plane.buffer_size for plane in frame.planes)
            frames.append(frame)
            if size > KEPT_BYTES:
                frames.clear()
        if not times:
            raise BrokenVideoError(path, NO_FRAMES)
        index = _timed(stream, times, duration)
        index.lost = num_lost(stream, tally)
    index.frames = [] if index.lost else frames  # what conceals damage depends on the frames in memory
    return index


def num_lost(stream: Any, tally: Counter[str]) -> int:
    """Packets that are damaged, or that a header promises and the file does not hold; AVI may promise one too many."""
    missing = (stream.frames or 0) - tally['packets']
    return tally['damaged'] + (missing if missing > 1 else 0)
