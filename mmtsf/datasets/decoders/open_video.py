"""Open videos with a decoder that is named."""

import os
from collections.abc import Callable
from typing import Any

from .decord_reader import DecordReader
from .frame_folder import FrameFolderReader
from .limits import Limits
from .local_file import check_file
from .pyav_reader import PyAVReader
from .reader import VideoReader

DECODERS: dict[str, Callable[..., VideoReader]] = {'pyav': PyAVReader, 'decord': DecordReader}


def open_video(path: str, decoder: str = 'pyav', limits: Limits = Limits(), **more: Any) -> VideoReader:
    """Open a video file, or a folder of frames.

    Args:
        path (str): Path of the file or folder.
        decoder (str): Name of the decoder. Defaults to ``'pyav'``.
        limits (Limits): Sizes above which a video is refused. Defaults to generous ones.
        more: Other arguments of the decoder: ``check_time`` of those here, which ends the reading by raising.

    Raises:
        BrokenVideoError: If the path does not exist, the decoder cannot open it, or it is larger than the limits.
    """
    if os.path.isdir(path):
        return FrameFolderReader(path, limits)
    check_file(path)
    return DECODERS[decoder](path, limits, **more)
