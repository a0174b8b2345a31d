"""Read a folder of images as a video, one image a frame."""

import os
import re
import warnings
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from .broken import BrokenVideoError
from .limits import Limits
from .local_file import IMAGES
from .reader import VideoReader, stack

#: What Pillow calls the formats of :data:`IMAGES`
FORMATS = ('JPEG', 'PNG', 'BMP', 'WEBP')


class FrameFolderReader(VideoReader):
    """Images of a folder in the order of the numbers in their names. What has the name of an image and is no regular
    file, such as a FIFO, is no frame and is named in a warning.

    Args:
        path (str): Path of the folder.
        limits (Limits): Sizes above which it is refused. Defaults to generous ones.

    Raises:
        BrokenVideoError: If the folder holds no images, or too many.
    """

    fps: float | None = None

    def __init__(self, path: str, limits: Limits = Limits()) -> None:
        self.path, self.limits = path, limits
        images = [entry for entry in os.scandir(path) if os.path.splitext(entry.name)[1].lower() in IMAGES]
        limits.check_frames(path, len(images))
        self._images = sorted((entry.path for entry in images if _is_file(entry)), key=_natural)
        self.num_frames = len(self._images)
        if self.num_frames == 0:
            raise BrokenVideoError(path, f'the folder holds no images ({" ".join(sorted(IMAGES))})')

    def read(self, indices: np.ndarray) -> np.ndarray:
        wanted, places = np.unique(indices, return_inverse=True)
        return stack(self.path, (self._load(self._images[i]) for i in wanted), places, self.limits)

    def _load(self, path: str) -> np.ndarray:
        pixels, name = None, os.path.basename(path)
        if os.path.getsize(path) > 8 * self.limits.frame_pixels + 2**20:  # bytes of a pixel, and what stands beside
            raise BrokenVideoError(self.path, f'{name} is larger than an image of limits.frame_pixels')
        data = Path(path).read_bytes()
        try:
            with Image.open(BytesIO(data), formats=FORMATS) as image:  # reads no more than its size
                self.limits.check_frame(self.path, *image.size)
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except Image.DecompressionBombError:
            reason = f'{name} has more pixels than limits.frame_pixels allows, or than Pillow reads'
            raise BrokenVideoError(self.path, reason) from None
        except (OSError, SyntaxError, ValueError):
            pass
        if pixels is None:
            raise BrokenVideoError(self.path, f'{name} is not an image')
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _is_file(entry: os.DirEntry) -> bool:
    """Whether this may be opened without waiting; what may not is named once."""
    if entry.is_file(follow_symlinks=False) or os.path.isfile(entry.path):
        return True
    warnings.warn(f'{entry.path} is no regular file, and is not taken for a frame', stacklevel=2)
    return False


def _natural(path: str) -> list:
    """Sort key that puts ``img_2`` before ``img_10``."""
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', os.path.basename(path))]
