#!/usr/bin/env python
"""Measure the share of a model's attention that lies on the moving object in the quickstart's clips:

python benchmarks/attention_mass.py configs/timesformer_tiny_motion.py quickstart/divided/epoch_25.pth

New clips are drawn, of which it is known where the disc is. The share of the attention that lies within the disc
stands beside chance, the share of the picture that the disc takes.
"""

import argparse
import runpy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from mmtsf.apis import attention_maps, build_pipeline, init_recognizer, to_sample, views_of

MOTION = runpy.run_path(str(Path(__file__).parents[1] / 'tools/data/make_motion.py'))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--clips', type=int, default=50, help='of each class (default: 50)')
    args = parser.parse_args()
    model, rng = init_recognizer(args.config, args.checkpoint), np.random.default_rng(1)
    shares: dict[str, list[float]] = {}
    for places in list(MOTION['CLASSES'].values()) * args.clips:
        frames, masks = MOTION['make_clip'](places, rng)
        sample = build_pipeline(model)(to_sample(frames))
        masks = masks[sample['data_samples'].frame_inds]
        for name, weights in attention_maps(model, views_of(model, sample)).items():
            inside = F.adaptive_avg_pool2d(torch.from_numpy(masks).float(), weights.shape[1:]).numpy()
            shares.setdefault(name, []).append((weights * inside).sum() / weights.sum())
        shares.setdefault('chance', []).append(masks.mean())
    for name, values in shares.items():
        print(f'{name:10} {np.mean(values):.1%} on the disc')


if __name__ == '__main__':
    main()
