"""Generate videos in which only the order of frames tells the class, or in which any frame does."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from mmtsf.utils.files import make_folder
from mmtsf.utils.remote_path import RemotePath
from mmtsf.utils.results import stoppable
from mmtsf.visualization.video_writer import write_video

#: Places in the order of the visit
CLASSES = {
    'left': [7, 6, 5, 4, 3, 2, 1, 0],
    'left_then_right': [7, 5, 3, 1, 0, 2, 4, 6],
    'right': [0, 1, 2, 3, 4, 5, 6, 7],
    'right_then_left': [0, 2, 4, 6, 7, 5, 3, 1],
}
#: Of the disc's two colours, which one a row y and a column x have; in stripes
PATTERNS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    'checks': lambda y, x: (y + x) % 2,
    'columns': lambda y, x: x % 2,
    'plain': lambda y, x: 0 * y,
    'rows': lambda y, x: y % 2,
}
FRAMES_A_PLACE = 3
SIZE = 112  # pixels
STEP = 5  # pixels from a place to the next; small beside the disc, so that its texture moves within a patch
FPS = 12


def texture(rng: np.random.Generator, size: int, low: int, high: int) -> np.ndarray:
    """Make a texture of smooth random colours ``(size, size, 3)``."""
    return cv2.resize(rng.integers(low, high, (5, 5, 3), dtype=np.uint8), (size, size), interpolation=cv2.INTER_CUBIC)


def patterned(pattern: str, rng: np.random.Generator, size: int) -> np.ndarray:
    """Make a pattern of a dark and a bright colour ``(size, size, 3)``."""
    colours = rng.permutation([rng.integers(0, 100, 3), rng.integers(155, 255, 3)])
    y, x = (np.indices((size, size)) + rng.integers(size, size=(2, 1, 1))) // rng.integers(8, 15)
    return colours[PATTERNS[pattern](y, x)]


def make_clip(places: list[int], rng: np.random.Generator, pattern: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Make frames ``(24, 112, 112, 3)`` of a disc that visits ``places``, and its masks ``(24, 112, 112)``.

    The disc has a pattern or random colours, and lies anywhere in the picture.
    """
    radius = int(rng.uniform(0.24, 0.31) * SIZE)
    disc = patterned(pattern, rng, 2 * radius) if pattern else texture(rng, 2 * radius, 0, 255)
    inside = cv2.circle(np.zeros((2 * radius, 2 * radius), np.uint8), (radius, radius), radius, 1, -1).astype(bool)
    background = texture(rng, SIZE, 40, 160)
    top = rng.integers(SIZE - 2 * radius)
    left = rng.integers(SIZE - 2 * radius - STEP * max(places))
    frames, masks = [], np.zeros((len(places) * FRAMES_A_PLACE, SIZE, SIZE), bool)
    for number, place in enumerate(np.repeat(places, FRAMES_A_PLACE)):
        frame = background.copy()
        x = left + place * STEP
        frame[top : top + 2 * radius, x : x + 2 * radius][inside] = disc[inside]
        masks[number, top : top + 2 * radius, x : x + 2 * radius] = inside
        frames.append(np.clip(frame + rng.normal(0, 2, frame.shape), 0, 255).astype(np.uint8))
    return np.stack(frames), masks


def write_videos(out: Path | RemotePath, counts: Sequence[int], kind: str = 'motion', seed: int = 0) -> None:
    """Write videos in a folder for each split and class.

    Args:
        out (Path | RemotePath): Folder to write to, here or at an address.
        counts (Sequence[int]): Videos of each class for training, validation and testing.
        kind (str): What tells the class: ``'motion'`` or ``'patterns'``. Defaults to ``'motion'``.
        seed (int): Seed of all that is random. Defaults to 0.
    """
    rng = np.random.default_rng(seed)
    classes = CLASSES if kind == 'motion' else PATTERNS
    splits = zip(('train', 'val', 'test'), counts, strict=True)
    clips = [(split, name, number) for split, count in splits for name in classes for number in range(count)]
    with stoppable(len(clips), 'videos', 'the same command begins anew') as is_done:
        for split, name, number in track(clips, 'writing motion videos'):
            folder = out / split / name
            make_folder(folder)
            places = CLASSES[name if kind == 'motion' else rng.choice(list(CLASSES))]
            frames, _ = make_clip(places, rng, None if kind == 'motion' else name)
            write_video(folder / f'{number:04}.mp4', frames, FPS)
            is_done()
    print(f'wrote {len(clips)} videos of {len(classes)} classes to {out}')
