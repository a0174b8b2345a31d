"""A video that was extracted to a folder of images, one a frame."""

import re
from pathlib import Path

import cv2
import numpy as np

from .limits import Limits
from .reader import BrokenVideoError, VideoReader, stack

IMAGES = {'.jpg', '.jpeg', '.png', '.bmp', '.webp'}


class FrameFolderReader(VideoReader):
    """Images of a folder in the order of the numbers in their names.

    Args:
        path (str): Path of the folder.

    Raises:
        BrokenVideoError: If the folder holds no images.
    """

    fps: float | None = None

    def __init__(self, path: str, limits: Limits = Limits()) -> None:
        self.path, self.limits = path, limits
        self._images = sorted((p for p in Path(path).iterdir() if p.suffix.lower() in IMAGES), key=_natural)
        self.num_frames = len(self._images)
        if self.num_frames == 0:
            raise BrokenVideoError(path, f'the folder holds no images ({" ".join(sorted(IMAGES))})')

    def read(self, indices: np.ndarray) -> np.ndarray:
        frames = {i: self._load(self._images[i]) for i in set(indices.tolist())}
        return stack(self.path, frames, indices)

    def _load(self, image: Path) -> np.ndarray:
        pixels = cv2.imread(str(image), cv2.IMREAD_COLOR)
        if pixels is None:
            raise BrokenVideoError(self.path, f'{image.name} is not an image')
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _natural(path: Path) -> list:
    """Sort key that puts ``img_2`` before ``img_10``."""
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', path.name)]
