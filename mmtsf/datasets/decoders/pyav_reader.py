"""PyAV: reads what decord refuses (streams without a duration), from the start to the last frame asked for."""

from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from .reader import BrokenVideoError

av.logging.set_level(av.logging.PANIC)


class PyAVReader:
    """A video file read with PyAV.

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
                stream = container.streams.best('video')
                if stream is None:
                    raise BrokenVideoError(path, 'PyAV finds no video that it can decode')
                self.fps = float(stream.average_rate) if stream.average_rate else None
                # a stream that does not say how many frames it has is counted, without decoding
                self.num_frames = stream.frames or sum(packet.size > 0 for packet in container.demux(stream))
        except av.FFmpegError as error:
            raise BrokenVideoError(path, 'PyAV finds no video that it can decode') from error
        if self.num_frames == 0:
            raise BrokenVideoError(path, 'the video has no frames')

    def _open(self) -> Any:
        return av.open(self.path, metadata_errors='ignore')

    def read(self, indices: np.ndarray) -> np.ndarray:
        last, wanted, frames = int(max(indices)), set(indices.tolist()), {}
        try:
            with self._open() as container:
                stream = container.streams.best('video')
                stream.codec_context.thread_count = 1  # data loaders run one reader a worker
                for place, frame in enumerate(container.decode(stream)):
                    if place in wanted or place >= last - 1:
                        frames[place] = self._upright(frame)
                    if place == last:
                        break
        except av.FFmpegError as error:
            raise BrokenVideoError(self.path, f'PyAV cannot decode frames {indices.tolist()}') from error
        if last not in frames:  # headers of some AVI files promise one frame too many
            if last - 1 not in frames:
                raise BrokenVideoError(self.path, f'it promises {self.num_frames} frames but ends before {last - 1}')
            frames[last] = frames[last - 1]
        return np.stack([frames[i] for i in indices.tolist()])

    def _upright(self, frame: av.VideoFrame) -> np.ndarray:
        """RGB pixels ``(H, W, 3)`` turned as the file's rotation flag asks (degrees, counterclockwise)."""
        rgb = self._reformatter.reformat(frame, format='rgb24', threads=1)
        return np.rot90(rgb.to_ndarray(), round(frame.rotation / 90))
