"""Open videos with a decoder that is named."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, BinaryIO

from mmtsf.datasets.shards import video_by_name
from mmtsf.utils.locations import is_address, location
from mmtsf.utils.media import is_video

from .broken import BrokenVideoError
from .decord_reader import DecordReader
from .frame_folder import FrameFolderReader
from .held_file import HeldFile, hold, local_copy, without_name
from .limits import Limits
from .local_file import check_file, open_stream
from .pyav_reader import PyAVReader
from .reader import VideoReader
from .torchcodec_reader import TorchCodecReader, check_torchcodec

#: Pixels of a frame from which on a GPU decodes faster than a core does: by torchcodec's own figures in 0.7 of the time
#: at 1920 x 1080 (11.5 against 16.9, its pull request 242), but in 5.8 times the time at 480 x 270 (308 ms against
#: 53 ms for 100 frames, 344). Not measured here: no GPU
GPU_PIXELS = 1920 * 1080


def open_fastest(path: str, limits: Limits = Limits(), check_time: Callable[[], None] = lambda: None) -> VideoReader:
    """Open a video with the GPU's decoder where frames are large and it reads the file, and with PyAV otherwise.

    The arguments and errors are those of :class:`.PyAVReader`.
    """
    if _has_gpu(os.getpid()):
        stream = open_stream(path, limits)
        stream.container.close()
        if stream.width * stream.height >= GPU_PIXELS:
            with suppress(BrokenVideoError):
                return TorchCodecReader(path, limits, check_time, 'cuda')
    return PyAVReader(path, limits, check_time)


@cache
def _has_gpu(process: int) -> bool:
    """Whether torchcodec can decode on a GPU in this process, which a fork may change."""
    try:
        check_torchcodec('cuda')
    except (ImportError, ValueError):
        return False
    return True


DECODERS: dict[str, Callable[..., VideoReader]] = {
    'pyav': PyAVReader,
    'decord': DecordReader,
    'torchcodec': TorchCodecReader,
    'auto': open_fastest,
}


def check_decoder(decoder: str, device: str = 'cpu') -> None:
    """Refuse a decoder that this process does not have.

    Args:
        decoder (str): Name of a decoder.
        device (str): Where it decodes: ``'cpu'``, or for torchcodec ``'cuda'`` or ``'cuda:N'``. Defaults to ``'cpu'``.

    Raises:
        ValueError: If there is no such decoder, or it cannot decode there.
        ImportError: If it is not installed.
    """
    if decoder not in DECODERS:
        raise ValueError(f'decoder is {decoder!r}, expected one of {tuple(DECODERS)}')
    if not isinstance(device, str) or not re.fullmatch(r'cpu|cuda(:\d+)?', device):
        raise ValueError(f"the device of the decoder is {device!r}, expected 'cpu', 'cuda' or 'cuda:N'")
    if device != 'cpu' and decoder != 'torchcodec':
        raise ValueError(
            f"the device of the decoder is {device!r}, but decoder {decoder!r} takes none; leave it at 'cpu', or set "
            "decoder='torchcodec'"
        )
    if decoder == 'torchcodec':
        check_torchcodec(device)


def open_video(
    path: str,
    decoder: str = 'pyav',
    limits: Limits = Limits(),
    file: Callable[[], BinaryIO] | None = None,
    **more: Any,
) -> VideoReader:
    """Open a video file, or a folder of frames, on the disk or at an address.

    Of what is at an address PyAV reads ranges, each of the bytes once; the other decoders read a temporary copy.

    Args:
        path (str): Path of the file or folder, or its address.
        decoder (str): Name of the decoder. Defaults to ``'pyav'``.
        limits (Limits): Sizes above which a video is refused. Defaults to generous ones.
        file (Callable, optional): Returns a new file object with the video's bytes, whose name the path then is.
            Defaults to None: they are at the path, or in the shard that it names.
        more: Other arguments of the decoder: ``check_time`` of those here, which ends the reading by raising, and
            ``device`` of torchcodec.

    Raises:
        BrokenVideoError: If the path does not exist, the decoder cannot open it, or it is larger than the limits.
    """
    file = file or video_by_name(path)
    if file is None and is_folder(path):
        return FrameFolderReader(path, limits)
    try:
        held = hold(path, limits, more.get('check_time', lambda: None), file)
        check_file(held)
        if isinstance(held, HeldFile):
            return _open_held(held, decoder, limits, more)
        return DECODERS[decoder](held, limits, **more)
    except FileNotFoundError:
        if location(path).is_dir():  # of frames, and called as a file is
            return FrameFolderReader(path, limits)
        raise BrokenVideoError(path, 'the file does not exist') from None


def is_folder(path: str) -> bool:
    """Whether a path is one of a folder; of an address with the suffix of a video it is not asked."""
    if not is_address(path):
        return os.path.isdir(path)
    try:
        return not is_video(path) and location(path).is_dir()
    except (OSError, ValueError) as error:
        raise BrokenVideoError(path, without_name(path, error)) from error


def _open_held(path: HeldFile, decoder: str, limits: Limits, more: dict[str, Any]) -> VideoReader:
    """Open a video whose bytes PyAV reads from file objects, and all other decoders from a copy."""
    if decoder == 'pyav' or (decoder == 'auto' and not _has_gpu(os.getpid())):
        return PyAVReader(path, limits, **more)
    copy = local_copy(path)
    try:
        reader: Any = DECODERS[decoder](copy.name, limits, **more)
    except BrokenVideoError as error:
        raise BrokenVideoError(path, error.reason) from error
    reader.path, reader.copy = path, copy
    return reader
