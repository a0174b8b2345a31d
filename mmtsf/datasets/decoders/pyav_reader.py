"""Read videos with PyAV, decoding no more than the frames asked for depend on."""

from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from .broken import BrokenVideoError
from .limits import Limits
from .local_file import NO_VIDEO, open_stream, reason
from .reader import VideoReader, stack

#: Codecs with frames that no other frame refers to, which the decoder knows and may skip without a loss
WITH_UNREFERENCED_FRAMES = {'h264'}


class PyAVReader(VideoReader):
    """A video file read with PyAV, single-threaded: data loaders run one reader a worker.

    Frames are counted in the order in which they are shown. Groups of pictures without a wanted frame are not decoded,
    nor are frames of H.264 that no other frame refers to.

    Args:
        path (str): Path of a video file.
        limits (Limits): Sizes above which it is refused. Defaults to generous ones.

    Attributes:
        check_time (Callable): Called before each packet is decoded, wanted or not; ends the reading by raising.

    Raises:
        BrokenVideoError: If the file cannot be opened.
    """

    def __init__(self, path: str, limits: Limits = Limits()) -> None:
        self.path, self.limits = path, limits
        self.check_time: Callable[[], None] = lambda: None
        self._reformatter = VideoReformatter()  # kept: setting one up takes longer than converting a frame
        try:
            stream = open_stream(path, limits)
            with stream.container as container:
                self.fps = float(stream.average_rate) if stream.average_rate else None
                most = islice(container.demux(stream), limits.frames + 2)
                packets = [(packet.pts, packet.is_keyframe) for packet in most if packet.size]
                self.num_frames = stream.frames or len(packets)
                limits.check_frames(path, len(packets))
                self._times = [time for time, _ in packets]
                self._is_keyframe = [is_keyframe for _, is_keyframe in packets]
                # AVI keeps the order of decoding alone; with frames that are shown in another one, times are guesses
                is_guess = container.format.name == 'avi' and stream.codec_context.has_b_frames
                self._is_timed = not is_guess and len(set(self._times) - {None}) == len(packets) == self.num_frames
        except av.FFmpegError as error:
            raise BrokenVideoError(path, NO_VIDEO) from error
        if self.num_frames == 0:
            raise BrokenVideoError(path, 'the video has no frames')

    def read(self, indices: np.ndarray) -> np.ndarray:
        wanted, places = np.unique(indices, return_inverse=True)
        return stack(self.path, self.stream(wanted), places, self.limits)

    def stream(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        left = deque(indices.tolist())
        try:
            for frame in self._by_time(left) if self._is_timed else ():
                yield self._upright(frame)
                left.popleft()
            for frame in self._in_order(left) if left else ():
                yield self._upright(frame)
        except av.FFmpegError as error:
            otherwise = f'PyAV cannot decode it from frame {left[0]} on'
            raise BrokenVideoError(self.path, reason(error, otherwise)) from error

    def _by_time(self, wanted: Collection[int]) -> Iterator[av.VideoFrame]:
        """Frames by their number, decoded from the key frames before them; up to the first one that is missing."""
        times = sorted(self._times)
        wanted_times = [times[i] for i in wanted]
        stream = open_stream(self.path, self.limits, again=True)
        with stream.container:
            decoded = (f for f in self._decode(stream, set(wanted_times)) if f.pts is not None)
            for time in wanted_times:
                frame = next((f for f in decoded if f.pts >= time), None)
                if frame is None or frame.pts != time:
                    return
                yield frame

    def _decode(self, stream: Any, wanted: Collection[int]) -> Iterator[av.VideoFrame]:
        """Frames of the ``wanted`` times, and others that are decoded on the way to them."""
        context = stream.codec_context
        may_skip = context.name in WITH_UNREFERENCED_FRAMES
        needed = self._needed(wanted)
        for place, packet in enumerate(self._packets(stream)):
            if place < len(needed) and needed[place]:
                context.skip_frame = 'NONREF' if may_skip and packet.pts not in wanted else 'DEFAULT'
                yield from context.decode(packet)
            elif place and needed[place - 1]:  # the last packet of all is empty
                yield from context.decode(None)
                context.flush_buffers()

    def _packets(self, stream: Any) -> Iterator[Any]:
        """Hand out packets as long as there is time."""
        for packet in stream.container.demux(stream):
            self.check_time()
            yield packet

    def _needed(self, wanted: Collection[int]) -> list[bool]:
        """Which packets the frames of the ``wanted`` times depend on: those from a key frame that is shown no later."""
        needed = [False] * len(self._times)
        keyframes: list[int] = []
        for place, (time, is_keyframe) in enumerate(zip(self._times, self._is_keyframe)):
            if is_keyframe:
                keyframes.append(place)
            if time in wanted:
                start = next((key for key in reversed(keyframes) if self._times[key] <= time), 0)
                needed[start : place + 1] = [True] * (place + 1 - start)
        return needed

    def _in_order(self, wanted: Collection[int]) -> Iterator[av.VideoFrame]:
        """Frames by their number, all decoded and counted from the first on."""
        left, number = deque(wanted), -1
        stream = open_stream(self.path, self.limits, again=True)
        with stream.container:
            for number, frame in enumerate(frame for packet in self._packets(stream) for frame in packet.decode()):
                if number == left[0]:
                    yield frame
                    left.popleft()
                    if not left:
                        return
        if number < 0 or list(left) != [number + 1]:
            raise BrokenVideoError(self.path, f'it promises {self.num_frames} frames but holds {number + 1}')
        yield frame  # headers of some AVI files promise one frame too many

    def _upright(self, frame: av.VideoFrame) -> np.ndarray:
        """RGB pixels ``(H, W, 3)`` turned as the file's rotation flag asks (degrees, counterclockwise)."""
        self.limits.check_frame(self.path, frame.width, frame.height)
        rgb = self._reformatter.reformat(frame, format='rgb24', threads=1)
        return np.rot90(rgb.to_ndarray(), round(frame.rotation / 90))
