"""Change a clip ``(T, H, W, 3)`` uint8, all frames in the same way: the operations of RandAugment.

They are those of arXiv 1909.13719, section 3.1. Each takes a strength in [-1, 1], whose sign is a direction where there
are two. The ranges are those of the usual implementations (PIL's, timm's).
"""

from collections.abc import Callable

import cv2
import numpy as np

Operation = Callable[[np.ndarray, float], np.ndarray]
LEVELS = np.arange(256, dtype=np.float64)
#: What lies beyond the border, near the mean that is subtracted
FILL = (114, 114, 114)


def identity(clip: np.ndarray, strength: float) -> np.ndarray:
    return clip


def auto_contrast(clip: np.ndarray, strength: float) -> np.ndarray:
    """Each channel's darkest value to 0 and its brightest to 255."""
    low, high = clip.min(axis=(0, 1, 2)).astype(float), clip.max(axis=(0, 1, 2)).astype(float)
    return _look_up(clip, (LEVELS[:, None] - low) * np.where(high > low, 255 / np.maximum(high - low, 1), 1))


def equalize(clip: np.ndarray, strength: float) -> np.ndarray:
    """Each channel's values spread evenly."""
    counts = np.stack([np.bincount(clip[..., channel].ravel(), minlength=256) for channel in range(3)], axis=1)
    below = counts.cumsum(axis=0) - counts
    most = below.max(axis=0)  # pixels below the brightest value
    return _look_up(clip, np.where(most > 0, below * 255 / np.maximum(most, 1), LEVELS[:, None]))


def posterize(clip: np.ndarray, strength: float) -> np.ndarray:
    """The last bits, four at most, cleared."""
    return clip & np.uint8(256 - 2 ** round(4 * abs(strength)))


def solarize(clip: np.ndarray, strength: float) -> np.ndarray:
    """Values from a threshold on inverted."""
    threshold = 256 * (1 - abs(strength))
    return _look_up(clip, np.where(threshold > LEVELS, LEVELS, 255 - LEVELS)[:, None])


def brightness(clip: np.ndarray, strength: float) -> np.ndarray:
    """Between 0.1 and 1.9 times as bright."""
    return _look_up(clip, (LEVELS * (1 + 0.9 * strength))[:, None])


def contrast(clip: np.ndarray, strength: float) -> np.ndarray:
    """Between 0.1 and 1.9 times as far from the clip's mean grey."""
    mean = _grey(clip).mean()
    return _look_up(clip, (mean + (LEVELS - mean) * (1 + 0.9 * strength))[:, None])


def color(clip: np.ndarray, strength: float) -> np.ndarray:
    """Between 0.1 and 1.9 times as far from grey."""
    return _extrapolate(np.repeat(_grey(clip)[..., None], 3, axis=-1), clip, strength)


def sharpness(clip: np.ndarray, strength: float) -> np.ndarray:
    """Between 0.1 and 1.9 times as far from a smoothed clip."""
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
    return _extrapolate(np.stack([cv2.filter2D(frame, -1, kernel) for frame in clip]), clip, strength)


def rotate(clip: np.ndarray, strength: float) -> np.ndarray:
    """By 30 degrees at most, around the middle."""
    height, width = clip.shape[1:3]
    return _warp(clip, cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 30 * strength, 1))


def shear_x(clip: np.ndarray, strength: float) -> np.ndarray:
    return _warp(clip, np.array([[1, 0.3 * strength, 0], [0, 1, 0]]))


def shear_y(clip: np.ndarray, strength: float) -> np.ndarray:
    return _warp(clip, np.array([[1, 0, 0], [0.3 * strength, 1, 0]]))


def translate_x(clip: np.ndarray, strength: float) -> np.ndarray:
    """By 45 % of the width at most."""
    return _warp(clip, np.array([[1, 0, 0.45 * strength * clip.shape[2]], [0, 1, 0]]))


def translate_y(clip: np.ndarray, strength: float) -> np.ndarray:
    """By 45 % of the height at most."""
    return _warp(clip, np.array([[1, 0, 0], [0, 1, 0.45 * strength * clip.shape[1]]]))


OPERATIONS: tuple[Operation, ...] = (
    identity,
    auto_contrast,
    equalize,
    rotate,
    solarize,
    color,
    posterize,
    contrast,
    brightness,
    sharpness,
    shear_x,
    shear_y,
    translate_x,
    translate_y,
)


def _grey(clip: np.ndarray) -> np.ndarray:
    """``(T, H, W, 3)`` to ``(T, H, W)``."""
    return cv2.cvtColor(_tall(clip), cv2.COLOR_RGB2GRAY).reshape(clip.shape[:3])


def _tall(clip: np.ndarray) -> np.ndarray:
    """All frames below each other, one image ``(T*H, W, 3)`` for OpenCV."""
    return clip.reshape(-1, *clip.shape[2:])


def _look_up(clip: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Values replaced by a table ``(256, 3)`` or ``(256, 1)``, rounded and clipped."""
    table = np.broadcast_to(table.round().clip(0, 255), (256, 3)).astype(np.uint8)
    return cv2.LUT(_tall(clip), table.reshape(1, 256, 3)).reshape(clip.shape)


def _extrapolate(plain: np.ndarray, clip: np.ndarray, strength: float) -> np.ndarray:
    """The clip between ``plain`` and as far beyond itself."""
    factor = 1 + 0.9 * strength
    return cv2.addWeighted(_tall(clip), factor, _tall(plain), 1 - factor, 0).reshape(clip.shape)


def _warp(clip: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    size = (clip.shape[2], clip.shape[1])
    return np.stack([cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_LINEAR, borderValue=FILL) for frame in clip])
