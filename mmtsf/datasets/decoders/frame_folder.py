"""A video that was extracted to a folder of images, one a frame."""

import re
import warnings
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
        images = [p for p in Path(path).iterdir() if p.suffix.lower() in IMAGES]
        limits.check_frames(path, len(images))
        self._images = sorted(filter(_is_file, images), key=_natural)
        self.num_frames = len(self._images)
        if self.num_frames == 0:
            raise BrokenVideoError(path, f'the folder holds no images ({" ".join(sorted(IMAGES))})')

    def read(self, indices: np.ndarray) -> np.ndarray:
        wanted, places = np.unique(indices, return_inverse=True)
        return stack(self.path, (self._load(self._images[i]) for i in wanted), places, self.limits)

    def _load(self, path: Path) -> np.ndarray:
        pixels = None
        try:
            with Image.open(path, formats=FORMATS) as image:  # reads no more than its size
                self.limits.check_frame(self.path, *image.size)
            pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
        except Image.DecompressionBombError:
            raise BrokenVideoError(self.path, f'{path.name} has more pixels than Pillow allows') from None
        except (OSError, SyntaxError, ValueError):
            pass
        if pixels is None:
            raise BrokenVideoError(self.path, f'{path.name} is not an image')
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _is_file(path: Path) -> bool:
    """Whether this may be opened without waiting; what may not is named once."""
    if path.is_file():
        return True
    warnings.warn(f'{path} is no regular file, and is not taken for a frame', stacklevel=2)
    return False


def _natural(path: Path) -> list:
    """Sort key that puts ``img_2`` before ``img_10``."""
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', path.name)]
