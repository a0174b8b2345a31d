"""PyAV: decodes no more than the frames asked for depend on."""

from collections.abc import Collection, Iterator
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from .reader import BrokenVideoError, stack

av.logging.set_level(av.logging.PANIC)
#: Codecs with frames that no other frame refers to, which the decoder knows and may skip without a loss
WITH_UNREFERENCED_FRAMES = {'h264'}
NO_VIDEO = 'PyAV finds no video that it can decode'


class PyAVReader:
    """A video file read with PyAV, single-threaded: data loaders run one reader a worker.

    Frames are counted in the order in which they are shown. Groups of pictures without a wanted frame are not decoded,
    nor are frames of H.264 that no other frame refers to.

    Args:
        path (str): Path of a video file.

    Raises:
        BrokenVideoError: If the file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._reformatter = VideoReformatter()  # kept: setting one up takes longer than converting a frame
        try:
            with self._open() as container:
                stream = self._best(container)
                self.fps = float(stream.average_rate) if stream.average_rate else None
                packets = [(packet.pts, packet.is_keyframe) for packet in container.demux(stream) if packet.size]
                self.num_frames = stream.frames or len(packets)
                self._times = [time for time, _ in packets]
                self._is_keyframe = [is_keyframe for _, is_keyframe in packets]
                # AVI keeps the order of decoding alone; with frames that are shown in another one, times are guesses
                is_guess = container.format.name == 'avi' and stream.codec_context.has_b_frames
                self._is_timed = not is_guess and len(set(self._times) - {None}) == len(packets) == self.num_frames
        except av.FFmpegError as error:
            raise BrokenVideoError(path, NO_VIDEO) from error
        if self.num_frames == 0:
            raise BrokenVideoError(path, 'the video has no frames')

    def _open(self) -> Any:
        return av.open(self.path, metadata_errors='ignore')

    def _best(self, container: Any) -> Any:
        stream = container.streams.best('video')
        if stream is None or stream.codec_context is None:
            raise BrokenVideoError(self.path, NO_VIDEO)
        stream.codec_context.thread_count = 1
        return stream

    def read(self, indices: np.ndarray) -> np.ndarray:
        wanted = set(indices.tolist())
        try:
            frames = self._read_by_time(wanted)
            if len(frames) < len(wanted):
                frames = self._read_in_order(wanted)
        except av.FFmpegError as error:
            raise BrokenVideoError(self.path, f'PyAV cannot decode frames {indices.tolist()}') from error
        return stack(self.path, frames, indices)

    def _read_by_time(self, wanted: Collection[int]) -> dict[int, np.ndarray]:
        """Frames by their number, decoded from the key frames before them; not all where times are missing."""
        if not self._is_timed:
            return {}
        times = sorted(self._times)
        number_of = {times[i]: i for i in wanted}
        frames = {}
        with self._open() as container:
            for frame in self._decode(container, number_of):
                if frame.pts in number_of:
                    frames[number_of[frame.pts]] = self._upright(frame)
                    if len(frames) == len(wanted):
                        break
        return frames

    def _decode(self, container: Any, wanted: Collection[int]) -> Iterator[av.VideoFrame]:
        """Frames of the ``wanted`` times, and others that are decoded on the way to them."""
        stream = self._best(container)
        context = stream.codec_context
        may_skip = context.name in WITH_UNREFERENCED_FRAMES
        needed = self._needed(wanted)
        for place, packet in enumerate(container.demux(stream)):
            if place < len(needed) and needed[place]:
                context.skip_frame = 'NONREF' if may_skip and packet.pts not in wanted else 'DEFAULT'
                yield from context.decode(packet)
            elif place and needed[place - 1]:  # the last packet of all is empty
                yield from context.decode(None)
                context.flush_buffers()

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

    def _read_in_order(self, wanted: Collection[int]) -> dict[int, np.ndarray]:
        """Frames by their number, all decoded and counted from the first on."""
        last, frames = max(wanted), {}
        with self._open() as container:
            stream = self._best(container)
            for number, frame in enumerate(container.decode(stream)):
                if number in wanted or number >= last - 1:
                    frames[number] = self._upright(frame)
                if number == last:
                    return frames
        if last - 1 not in frames:
            raise BrokenVideoError(self.path, f'it promises {self.num_frames} frames but ends before {last - 1}')
        frames[last] = frames[last - 1]  # headers of some AVI files promise one frame too many
        return frames

    def _upright(self, frame: av.VideoFrame) -> np.ndarray:
        """RGB pixels ``(H, W, 3)`` turned as the file's rotation flag asks (degrees, counterclockwise)."""
        rgb = self._reformatter.reformat(frame, format='rgb24', threads=1)
        return np.rot90(rgb.to_ndarray(), round(frame.rotation / 90))
