"""Read videos with torchcodec, on the CPU or with the decoder of a GPU."""

import io
import json
import os
from collections.abc import Callable
from functools import cache
from typing import Any

import av
import numpy as np

from .broken import BrokenVideoError
from .limits import Limits
from .local_file import file_url
from .orientation import upright_shape
from .plain_index import REMEDY, PlainIndex, read_plain_index, wrong
from .reader import VideoReader

#: What torchcodec raises at files, and where it cannot use a device
ERRORS = (RuntimeError, ValueError, IndexError)
#: Codecs whose decoders hold frames back; in AVI, which keeps no times, these get the times of others after a seek
HELD_BACK = {'h264', 'hevc'}
SPAWN = "set env_cfg.mp_cfg.mp_start_method='spawn', or num_workers=0 of the data loader"


class TorchCodecReader(VideoReader):
    """A video file read with torchcodec, on one thread of a CPU, or with a GPU's decoder (NVDEC).

    PyAV opens the file first, and torchcodec reads those alone that can be told from their packets (see
    :func:`.read_plain_index`), in pixels of 8 bits, where the container flags as key frames those at which decoding may
    start. It is told when each frame is shown, and each frame that it gives must be of that time. On a CPU frames of a
    file without damage are those of PyAV, bit for bit with the same FFmpeg; on a GPU colours differ a little. Damage
    that headers of packets do not tell gives wrong frames without an error: ``mmtsf check --full`` finds it. A
    frame that becomes larger in mid-stream is decoded before it is refused.

    Args:
        path (str): Path of a video file.
        limits (Limits): Sizes above which it is refused. Defaults to generous ones.
        check_time (Callable): Called before packets are decoded and before frames are read; ends these by raising.
            Defaults to nothing.
        device (str): ``'cpu'``, ``'cuda'`` or ``'cuda:N'``. Defaults to ``'cpu'``.

    Raises:
        BrokenVideoError: If the file cannot be opened, or torchcodec may read it wrongly, or not on this device.
    """

    def __init__(
        self,
        path: str,
        limits: Limits = Limits(),
        check_time: Callable[[], None] = lambda: None,
        device: str = 'cpu',
    ) -> None:
        self.path, self.limits, self.check_time = path, limits, check_time
        plain = read_plain_index('torchcodec', path, limits, check_time)
        index, first, *_ = plain
        has_times = index.container != 'avi' or index.codec not in HELD_BACK
        is_8_bit = all(component.bits <= 8 for component in first.format.components)
        if not (has_times and is_8_bit and index.is_flagged):
            raise BrokenVideoError(path, wrong('torchcodec'))
        self._shape, self._unit = upright_shape(first), plain.unit
        self._begun = np.array(index.times) * plain.unit
        try:
            self._video = _decoder(file_url(path), device, plain)
        except ERRORS as error:
            raise BrokenVideoError(path, f'torchcodec finds no video that it can decode; {REMEDY}') from error
        if device != 'cpu' and self._video.cpu_fallback:
            raise BrokenVideoError(path, f'the GPU decodes no {index.codec} of this kind; {REMEDY}')
        self.fps, self.times, self.num_frames = index.fps, index.seconds, len(index.times)
        self.clock = index.clock

    def read(self, indices: np.ndarray) -> np.ndarray:
        self.limits.check_sample(self.path, len(indices), *self._shape)
        self.check_time()
        try:
            batch = self._video.get_frames_at(indices.tolist())
        except ERRORS as error:
            reason = f'torchcodec cannot decode frames {indices.tolist()}; {REMEDY}'
            raise BrokenVideoError(self.path, reason) from error
        frames = batch.data.cpu().numpy()
        are_these = np.abs(batch.pts_seconds.cpu().numpy() - self._begun[indices]) < self._unit / 2
        if frames.shape[1:3] != self._shape or not are_these.all():
            raise BrokenVideoError(self.path, wrong('torchcodec'))
        return frames


@cache
def load_torchcodec() -> Any:
    """Import torchcodec's decoders.

    Raises:
        ImportError: If it is not installed, or cannot be loaded, as without FFmpeg's libraries.
    """
    try:
        from torchcodec import decoders
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).strip().split('\n')[0]
        raise ImportError(
            "decoder='torchcodec' needs torchcodec and libraries of FFmpeg 4 to 8, see docs/installing.md; "
            f'{REMEDY} to do without. It says: {reason}'
        ) from error
    return decoders


def _decoder(source: Any, device: str, plain: PlainIndex | None = None) -> Any:
    """A decoder of a file, which is told of frames what PyAV has found."""
    more = {}
    if plain is not None:
        times, packets = plain.frames.times, sorted(plain.frames.packets)
        lasts = np.diff(times, append=times[-1] + 1).tolist()
        table = [dict(pts=time, duration=d, key_frame=int(is_start)) for (time, is_start), d in zip(packets, lasts)]
        more = dict(stream_index=plain.stream, custom_frame_mappings=json.dumps(dict(frames=table)))
    if device == 'cuda':
        device = f'cuda:{os.environ.get("LOCAL_RANK", 0)}'  # of this process, also in its data workers
    return load_torchcodec().VideoDecoder(source, dimension_order='NHWC', num_ffmpeg_threads=1, device=device, **more)


def check_torchcodec(device: str) -> None:
    """Refuse a device on which torchcodec cannot decode in this process.

    Raises:
        ImportError: If torchcodec cannot be loaded.
        ValueError: If it cannot use the device, as in a data worker that was forked from a process with CUDA.
    """
    load_torchcodec()
    if device != 'cpu' and (reason := _why_no_gpu(device, os.getpid())):
        raise ValueError(f'the device of the decoder is {device!r}, but {reason}')


@cache
def _why_no_gpu(device: str, process: int) -> str:
    """Why this process cannot decode on a GPU, found by decoding a small video there; empty if it can."""
    import torch

    try:
        torch.cuda.init()
    except (AssertionError, RuntimeError) as error:
        if 'fork' in str(error):  # which CUDA's state does not outlive
            return f'this process was forked from one that uses CUDA; {SPAWN}'
        return f"PyTorch finds no GPU; set the device to 'cpu', or {REMEDY}"
    try:
        video = _decoder(_small_video(), device)
        video.get_frames_at([0])
    except ERRORS as error:
        return f'torchcodec cannot use it ({str(error).splitlines()[0]}); install its build for CUDA, or {REMEDY}'
    return f'its driver has no decoder of videos; {REMEDY}' if video.cpu_fallback else ''


def _small_video() -> bytes:
    """Encode a gray frame in H.264."""
    file = io.BytesIO()
    with av.open(file, 'w', format='mp4') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.width, stream.height, stream.pix_fmt = 256, 256, 'yuv420p'
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((256, 256), 128, np.uint8), format='gray')))
        container.mux(stream.encode())
    return file.getvalue()
