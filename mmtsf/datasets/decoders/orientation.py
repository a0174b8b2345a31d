"""Turn and mirror frames as their display matrix asks, as FFmpeg does."""

import struct
from typing import Any

import av
import numpy as np


def orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """How a frame is to be shown: whether its axes are exchanged, and then whether it is mirrored vertically, and
    horizontally. These are eight; a matrix in between is taken for the nearest one, and one without an area for none.
    """
    matrix: Any = frame.side_data.get('DISPLAYMATRIX')
    if matrix is None:
        return False, False, False
    a, b, _, c, d = struct.unpack_from('=5i', bytes(matrix))  # x' = a x + c y, y' = b x + d y
    if a * d == b * c:
        return False, False, False
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, d < 0, a < 0
    return True, b < 0, c < 0


def upright(pixels: np.ndarray, frame: av.VideoFrame, axis: int = 0) -> np.ndarray:
    """Pixels of a frame as they are to be shown. ``axis`` is that of their height; that of their width follows."""
    is_exchanged, vertically, horizontally = orientation(frame)
    if is_exchanged:
        pixels = pixels.swapaxes(axis, axis + 1)
    mirrored = [axis] * vertically + [axis + 1] * horizontally
    return np.flip(pixels, tuple(mirrored))


def is_mirror(frame: av.VideoFrame) -> bool:
    """Whether a frame is to be mirrored, and not only turned."""
    return sum(orientation(frame)) % 2 == 1


def upright_shape(frame: av.VideoFrame) -> tuple[int, int]:
    """Height and width of a frame as it is to be shown."""
    return (frame.width, frame.height) if orientation(frame)[0] else (frame.height, frame.width)
