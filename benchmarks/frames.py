#!/usr/bin/env python
"""Plot the cost of a forward pass against the number of frames: python benchmarks/frames.py docs/images/frames.png

Seconds of one clip at 224 pixels in bfloat16, medians, for divided attention up to 96 frames, and for joint attention
as far as that stays bearable; with each the line through the origin and the first point.
"""

import argparse
import logging

import matplotlib.pyplot as plt
import torch
from implementations import ours
from timing import medians

from mmtsf.deploy.fuse import fuse_backbone
from mmtsf.engine.launch import keep_freed_memory

FRAMES = dict(divided=(8, 16, 32, 64, 96), joint=(8, 16, 32))


@torch.no_grad()
def seconds(scheme: str, num_frames: int, rounds: int) -> float:
    model = ours(scheme, num_frames, 224).to(torch.bfloat16).eval()
    fuse_backbone(model.backbone)
    clips = torch.randn(1, 3, num_frames, 224, 224, dtype=torch.bfloat16)
    return medians({scheme: lambda: model(clips)}, rounds)[scheme]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', help='picture to write')
    parser.add_argument('--rounds', type=int, default=3)
    args = parser.parse_args()
    logging.disable(logging.INFO)
    keep_freed_memory()
    figure, axes = plt.subplots(figsize=(5, 3.2), layout='constrained')
    for color, (scheme, frames) in zip(('C0', 'C3'), FRAMES.items()):
        times = [seconds(scheme, number, args.rounds) for number in frames]
        print(scheme, ', '.join(f'{number}: {time:.2f} s' for number, time in zip(frames, times)), flush=True)
        axes.plot(frames, times, 'o-', color=color, label=scheme)
        axes.plot([0, frames[-1]], [0, times[0] / frames[0] * frames[-1]], ':', color=color)
    axes.set(xlabel='frames of 224 x 224', ylabel='seconds, 2 CPU cores, bfloat16', xlim=0, ylim=0)
    axes.legend(frameon=False)
    figure.savefig(args.out, dpi=150)


if __name__ == '__main__':
    main()
