"""Colour attention, and lay it over the frames that it is about."""

from collections.abc import Sequence

import cv2
import numpy as np

#: Colour map of attention, from dark to light in even steps: OpenCV's number of it, and Matplotlib's name
COLOURS, COLOUR_MAP = cv2.COLORMAP_INFERNO, 'inferno'
#: Colour of what the model did not see
UNSEEN = (200, 200, 205)
#: How much of a frame its attention covers
STRENGTH = 0.6

#: Where the scale of colours ends at least, so that attention that is even looks even
LEAST_END = 2.0

#: Left, top, right and bottom of what a model sees in a frame, in pixels
Box = tuple[float, float, float, float]


def highest(weights: np.ndarray) -> float:
    """Find where the colours of a map end: above all but a hundredth of its weights, as a multiple of what even
    attention gives each patch, or at twice that if it is more."""
    return max(float(np.quantile(weights, 0.99) / weights.mean()), LEAST_END)


def relative(weights: np.ndarray) -> np.ndarray:
    """Scale attention ``(T, h, w)``, not all 0, to the colours' range from 0 to 1; a few weights are more."""
    return weights / weights.mean() / highest(weights)


def heat(weights: np.ndarray, height: int, width: int, box: Box | None = None) -> np.ndarray:
    """Colour attention ``(h, w)`` from 0 to 1, as large as its frame: RGB ``(height, width, 3)`` uint8.

    Args:
        weights (np.ndarray): Attention ``(h, w)``; less than 0 and more than 1 are drawn as these.
        height (int): Height of the frame in pixels.
        width (int): Its width.
        box (Box, optional): What the model saw of the frame; the rest is light grey. Defaults to None: all.
    """
    left, top, right, bottom = np.clip(np.round(box or (0, 0, width, height)), 0, (width, height) * 2).astype(int)
    picture = np.full((height, width, 3), UNSEEN, np.uint8)
    if right > left and bottom > top:
        seen = cv2.resize(
            weights.astype(np.float32), (int(right - left), int(bottom - top)), interpolation=cv2.INTER_CUBIC
        )
        coloured = cv2.applyColorMap((np.clip(seen, 0, 1) * 255).round().astype(np.uint8), COLOURS)
        picture[top:bottom, left:right] = coloured[..., ::-1]
    return picture


def overlay(
    frames: np.ndarray | Sequence[np.ndarray], weights: np.ndarray, box: Box | None = None, strength: float = STRENGTH
) -> np.ndarray:
    """Lay attention over frames: where there is none they darken, and where the model did not see they fade.

    Args:
        frames (np.ndarray | Sequence[np.ndarray]): RGB ``(T, H, W, 3)`` uint8.
        weights (np.ndarray): Attention ``(T, h, w)`` from 0 to 1.
        box (Box, optional): What the model saw of each frame. Defaults to None: all.
        strength (float): How much of a frame it covers, from 0 to 1. Defaults to 0.6.
    """
    pictures = (heat(values, len(frame), frame.shape[1], box) for frame, values in zip(frames, weights, strict=True))
    return np.stack([cv2.addWeighted(one, 1 - strength, two, strength, 0) for one, two in zip(frames, pictures)])
