"""Write videos."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from mmtsf.datasets.decoders import file_url
from mmtsf.utils.files import written_whole
from mmtsf.utils.remote_path import RemotePath

#: Parts of a second in which times are written
TICKS = 90_000
#: FFmpeg's names of containers, where the suffix is none
CONTAINERS = {'.mkv': 'matroska', '.m4v': 'mp4'}
#: Of a GIF: frames a second, pixels of the longer side, colours
GIF_RATE, GIF_WIDTH, GIF_COLOURS = 12, 520, 48


def write_video(
    path: Path | RemotePath, frames: Iterable[np.ndarray], fps: float, times: Sequence[float] | None = None
) -> None:
    """Encode frames as H.264, one at a time; the last odd row or column is cut off. A name in ``.gif`` has a GIF
    instead, that plays again and again: at most 12 frames a second, at most 520 pixels wide, in 48 colours. No file of
    that name is left before all of it is written.

    Args:
        path (Path | RemotePath): File to write, here or at an address.
        frames (Iterable[np.ndarray]): RGB ``(H, W, 3)`` uint8.
        fps (float): Frames a second.
        times (Sequence[float], optional): Seconds at which they are shown, each later than the one before. Defaults to
            None: one by one at that rate.
    """
    suffix = path.suffix.lower()
    with written_whole(path, synced=False) as part:
        if suffix == '.gif':
            _write_gif(part, frames, fps, times)
        else:
            _write_h264(part, CONTAINERS.get(suffix, suffix[1:]), frames, fps, times)


def _write_h264(
    path: Path, container_format: str, frames: Iterable[np.ndarray], fps: float, times: Sequence[float] | None
) -> None:
    """Encode all frames."""
    with av.open(file_url(path), 'w', format=container_format) as container:
        stream = container.add_stream('libx264', rate=Fraction(fps).limit_denominator(1000), options={'crf': '23'})
        for number, frame in enumerate(frames):
            even = np.ascontiguousarray(frame[: len(frame) // 2 * 2, : frame.shape[1] // 2 * 2])
            if number == 0:
                stream.height, stream.width, stream.pix_fmt = *even.shape[:2], 'yuv420p'
                if times is not None:
                    stream.codec_context.time_base = Fraction(1, TICKS)
            picture = av.VideoFrame.from_ndarray(even, format='rgb24')
            if times is not None:
                picture.pts, picture.time_base = round((times[number] - times[0]) * TICKS), Fraction(1, TICKS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _write_gif(path: Path, frames: Iterable[np.ndarray], fps: float, times: Sequence[float] | None) -> None:
    """Encode some of the frames as a GIF; those that are kept are as many as such a file should have."""
    kept, shown = [], list[float]()
    for number, frame in enumerate(frames):
        time = number / fps if times is None else times[number]
        if not shown or time >= shown[-1] + 0.99 / GIF_RATE:
            image = Image.fromarray(frame)
            image.thumbnail((GIF_WIDTH, GIF_WIDTH), Image.Resampling.LANCZOS)
            kept.append(image.quantize(GIF_COLOURS, dither=Image.Dither.NONE))
            shown.append(time)
    lasts = [round(1000 * seconds) for seconds in np.diff(shown)] or [1000]
    kept[0].save(path, 'GIF', save_all=True, append_images=kept[1:], duration=[*lasts, lasts[-1]], loop=0)
