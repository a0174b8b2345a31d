"""Read videos with PyAV, decoding no more than the frames asked for depend on."""

from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import chain
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from .frame_index import ROUNDING, FrameIndex, decode_all, decode_index, read_index
from .held_file import HeldFile
from .limits import Limits
from .local_file import open_stream
from .orientation import upright
from .reader import VideoReader, stack

#: Codecs with frames that no other frame refers to, which the decoder knows and may skip without a loss
WITH_UNREFERENCED_FRAMES = {'h264'}
#: Containers that are searched by an index of theirs
WITH_AN_INDEX = {'mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm', 'avi'}


class _DamageError(Exception):
    """A frame is damaged in a way that its packet does not tell."""


class PyAVReader(VideoReader):
    """A video file read with PyAV, single-threaded: data loaders run one reader a worker.

    Frames are those that decoding the whole file gives, counted in the order in which they are shown. Where the
    bitstream tells which those are and where decoding may start (see :mod:`.bitstream`), groups of pictures without a
    wanted frame are not decoded, nor are frames of H.264 that no other frame refers to. All other files are decoded
    from their first frame on. A frame that is damaged, which may be found only here, is replaced by the one before it.

    Args:
        path (str): Path of a video file.
        limits (Limits): Sizes above which it is refused. Defaults to generous ones.
        check_time (Callable): Called before each packet is decoded, wanted or not; ends the reading by raising.
            Defaults to nothing.

    Attributes:
        clock (Clock | None): Times as the container tells them.

    Raises:
        BrokenVideoError: If the file cannot be opened, is encrypted or shows no frame.
    """

    def __init__(self, path: str, limits: Limits = Limits(), check_time: Callable[[], None] = lambda: None) -> None:
        self.path, self.limits, self.check_time = path, limits, check_time
        self._reformatter = VideoReformatter()  # kept: setting one up takes longer than converting a frame
        self._index, self._stream = read_index(path, limits, check_time)
        self._check()
        self._exact: FrameIndex | None = None  # once frames were missing
        self.fps, self.clock = self._index.fps, self._index.clock
        self.times: np.ndarray = self._index.seconds
        self.num_frames = len(self.times) - 1

    def __del__(self) -> None:
        if (stream := getattr(self, '_stream', None)) is not None:
            stream.container.close()  # it and its streams hold each other

    def _check(self) -> None:
        """Refuse what was read of a file that is fetched if not all of it came."""
        if isinstance(self.path, HeldFile):
            self.path.check()

    @property
    def num_lost(self) -> int:
        """Packets that are known by now to be damaged or missing; all of them, once all frames were read."""
        exact = self._exact or self._index
        return max(exact.lost, self.num_frames - len(exact.seconds) + 1)

    def read(self, indices: np.ndarray) -> np.ndarray:
        wanted, places = np.unique(indices, return_inverse=True)
        return stack(self.path, self.stream(wanted), places, self.limits)

    def stream(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        wanted, done = indices.tolist(), 0
        if self._exact is None:
            for frame in self._by_time(wanted) if self._index.times else self._in_order(self._index, wanted):
                self._check()
                yield self._to_rgb(frame)
                done += 1
        if done < len(wanted):  # there is damage that packets do not tell
            self._check()
            self._exact = self._exact or decode_index(self.path, self.limits, self.check_time)
            for frame in self._in_order(self._exact, self._shown_at(self._exact, wanted[done:])):
                self._check()
                yield self._to_rgb(frame)

    def _shown_at(self, exact: FrameIndex, wanted: list[int]) -> list[int]:
        """Frames of a full decode that are shown at the times of the wanted ones, or last before them."""
        if len(exact.seconds) == len(self.times):
            return wanted
        begun = exact.seconds[:-1].searchsorted(self.times[wanted] + ROUNDING, 'right')
        return (begun - 1).clip(0).tolist()

    def _by_time(self, wanted: Collection[int]) -> Iterator[av.VideoFrame]:
        """Frames by their number, decoded from the starts before them; up to the first one that is missing."""
        wanted_times = [self._index.times[i] for i in wanted]
        stream, packets = self._from_the_first()
        with stream.container:
            decoded = self._decode(stream.codec_context, packets, set(wanted_times))
            try:
                for time in wanted_times:
                    frame = next((f for f in decoded if f.pts is not None and f.pts >= time), None)
                    if frame is None or frame.pts != time:
                        return
                    yield frame
            except (av.FFmpegError, _DamageError):
                return

    def _from_the_first(self) -> tuple[Any, Iterator[Any]]:
        """A stream and all its packets: that which the index was read from, if it goes back to its beginning."""
        stream, self._stream = self._stream, None
        first = self._index.packets[0][0]
        if stream is not None and self._index.container in WITH_AN_INDEX:
            stream.container.seek(min(self._index.times[0], first or 0), stream=stream)
            packets = stream.container.demux(stream)
            begun = next(packets)
            if begun.size and begun.pts == first:
                return stream, chain([begun], packets)
        if stream is not None:
            stream.container.close()
        stream = open_stream(self.path, self.limits, again=True)
        return stream, stream.container.demux(stream)

    def _decode(self, context: Any, packets: Iterator[Any], wanted: Collection[int]) -> Iterator[av.VideoFrame]:
        """Frames of the ``wanted`` times, and others that are decoded on the way to them.

        Raises:
            _DamageError: If one of these is damaged, as all frames may be that refer to it.
        """
        may_skip = context.name in WITH_UNREFERENCED_FRAMES
        needed, begin = self._needed(wanted), 0
        for place, packet in enumerate(packets):
            self.check_time()
            frames: list[av.VideoFrame] = []
            if place < len(needed) and needed[place]:
                if not place or not needed[place - 1]:
                    begin = self._index.packets[place][0] or 0
                context.skip_frame = 'NONREF' if may_skip and packet.pts not in wanted else 'DEFAULT'
                frames = context.decode(packet)
            elif place and needed[place - 1]:  # the last packet of all is empty
                frames = context.decode(None)
                context.flush_buffers()
            for frame in frames:
                if frame.is_corrupt and (frame.pts or 0) >= begin:  # one before it refers to what was not decoded
                    raise _DamageError
                yield frame

    def _needed(self, wanted: Collection[int]) -> list[bool]:
        """Which packets the frames of the ``wanted`` times depend on: those from a start that is shown no later."""
        packets = self._index.packets
        needed = [False] * len(packets)
        starts: list[tuple[int, int]] = []
        for place, (time, is_start) in enumerate(packets):
            if time is None:
                continue
            if is_start:
                starts.append((place, time))
            if time in wanted:
                start = next((place for place, begin in reversed(starts) if begin <= time), 0)
                needed[start : place + 1] = [True] * (place + 1 - start)
        return needed

    def _in_order(self, index: FrameIndex, wanted: Collection[int]) -> Iterator[av.VideoFrame]:
        """Frames by their number, counted from the first one on; up to the first one that is missing."""
        if index.frames:
            yield from (index.frames[number] for number in wanted)
            return
        left = deque(wanted)
        stream = open_stream(self.path, self.limits, again=True)
        with stream.container:
            for number, frame in enumerate(decode_all(self.path, stream, self.limits, self.check_time)):
                while left and number == left[0]:
                    yield frame
                    left.popleft()
                if not left:
                    return

    def _to_rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """Pixels ``(H, W, 3)``, upright."""
        self.limits.check_frame(self.path, frame.width, frame.height)
        rgb = self._reformatter.reformat(frame, format='rgb24', threads=1)
        return upright(rgb.to_ndarray(), frame)
