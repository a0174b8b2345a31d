#!/usr/bin/env python
"""Write a small data set of real video files in which only the order of frames tells the class.

A shape runs round a ring, clockwise or counterclockwise, one turn a clip or five. A clip visits the same 24 places in
every class, once each, so that neither a frame nor the set of all frames says anything about the class:

    python tools/data/make_motion.py data/motion
"""
import argparse
from pathlib import Path

import av
import cv2
import numpy as np
from rich.progress import track

CLASSES = {'clockwise_slow': 1, 'clockwise_fast': 5, 'counterclockwise_slow': -1, 'counterclockwise_fast': -5}
NUM_FRAMES = 24  # also the number of places on the ring; no speed above has a common divisor with it
SIZE = 112  # pixels
FPS = 12


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument('--videos', type=int, nargs=3, default=(120, 15, 30), metavar=('TRAIN', 'VAL', 'TEST'),
                        help='videos a class in each split (default: 120 15 30)')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def make_clip(speed: int, rng: np.random.Generator) -> np.ndarray:
    """Frames ``(24, 112, 112, 3)`` of a shape that moves ``speed`` places a frame, clockwise where positive."""
    texture = rng.integers(40, 160, (6, 6, 3), dtype=np.uint8)
    background = cv2.resize(texture, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    center = SIZE / 2 + rng.uniform(-6, 6, 2)
    ring = rng.uniform(0.26, 0.34) * SIZE
    radius = rng.uniform(0.08, 0.11) * SIZE
    corners = rng.choice([3, 4, 32])  # triangle, square, disc
    turned = rng.uniform(0, 2 * np.pi)
    color = rng.choice([(240, 60, 60), (60, 240, 60), (250, 250, 250), (240, 220, 40), (60, 200, 250)])
    outline = 2 * np.pi * np.arange(corners) / corners + turned
    shape = radius * np.stack([np.cos(outline), np.sin(outline)], axis=1)
    first = rng.integers(NUM_FRAMES)
    frames = []
    for place in (first + speed * np.arange(NUM_FRAMES)) % NUM_FRAMES:
        angle = 2 * np.pi * place / NUM_FRAMES  # grows clockwise, since y points down
        position = center + ring * np.array([np.cos(angle), np.sin(angle)])
        frame = cv2.fillPoly(background.copy(), [(position + shape).round().astype(np.int32)], color.tolist())
        frames.append(np.clip(frame + rng.normal(0, 6, frame.shape), 0, 255).astype(np.uint8))
    return np.stack(frames)


def write_video(path: Path, frames: np.ndarray) -> None:
    """Encode frames ``(T, H, W, 3)`` as H.264."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=FPS, options={'crf': '18'})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], 'yuv420p'
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode())


def main() -> None:
    args = parse_args()
    rng = np.random.default_rng(args.seed)
    clips = [(split, name, number) for split, count in zip(('train', 'val', 'test'), args.videos) for name in CLASSES
             for number in range(count)]
    for split, name, number in track(clips, 'writing motion videos'):
        folder = args.out / split / name
        folder.mkdir(parents=True, exist_ok=True)
        write_video(folder / f'{number:04}.mp4', make_clip(CLASSES[name], rng))
    print(f'wrote {len(clips)} videos of {len(CLASSES)} classes to {args.out}')


if __name__ == '__main__':
    main()
