#!/usr/bin/env python
"""Write a small data set of real video files in which only the order of frames tells the class.

A disc moves sideways over a still background. It stands on the same 8 places in every class, three frames on each, so
that neither a frame nor the set of all frames says anything about the class:

    python tools/data/make_motion.py data/motion

or its opposite, in which any frame tells the class, the pattern on the disc, and the motion says nothing:

    python tools/data/make_motion.py data/patterns --kind patterns
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from mmtsf.utils.arguments import mistakes_of, new_parser
from mmtsf.utils.files import check_folder


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument(
        '--videos',
        type=int,
        nargs=3,
        default=(150, 15, 30),
        metavar=('TRAIN', 'VAL', 'TEST'),
        help='videos a class in each split (default: 150 15 30)',
    )
    parser.add_argument('--kind', choices=['motion', 'patterns'], default='motion', help='what tells the class')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    with mistakes_of(parser):
        check_folder(args.out, 'OUT')
    return args


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

import cv2
import numpy as np
from rich.progress import track

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


def main() -> None:
    args = parse_args()
    rng = np.random.default_rng(args.seed)
    splits = zip(('train', 'val', 'test'), args.videos, strict=True)
    classes = CLASSES if args.kind == 'motion' else PATTERNS
    clips = [(split, name, number) for split, count in splits for name in classes for number in range(count)]
    for split, name, number in track(clips, 'writing motion videos'):
        folder = args.out / split / name
        folder.mkdir(parents=True, exist_ok=True)
        places = CLASSES[name if args.kind == 'motion' else rng.choice(list(CLASSES))]
        frames, _ = make_clip(places, rng, None if args.kind == 'motion' else name)
        write_video(folder / f'{number:04}.mp4', frames, FPS)
    print(f'wrote {len(clips)} videos of {len(classes)} classes to {args.out}')


if __name__ == '__main__':
    main()
