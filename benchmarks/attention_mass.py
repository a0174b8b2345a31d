#!/usr/bin/env python
"""Measure the share of a model's attention that lies on what moves: on the disc of new clips of the quickstart's kind,

python benchmarks/attention_mass.py configs/timesformer_tiny_motion.py quickstart/divided/epoch_25.pth

or on what changes in real videos, as the config's validation reads them:

python benchmarks/attention_mass.py CONFIG CHECKPOINT --videos LIST --root FOLDER

The share of the attention within the part of the picture that moves stands beside chance, the share of the picture that
it takes. Of real videos nobody knows what moves: it is taken to be the fifth of the patches, of the whole clip, whose
pixels change most from one frame of the clip to the next. Where a camera moves, that is where there are edges.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from mmtsf.apis import attention_maps, build_pipeline, init_recognizer, to_sample, views_of
from mmtsf.preparation.motion import CLASSES, make_clip
from mmtsf.utils.arguments import add_options, parsed

#: Part of the patches that is taken for what moves
MOVES = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--clips', type=int, default=50, help='of each class (default: 50)')
    parser.add_argument('--videos', type=Path, metavar='LIST', help='annotation list of real videos instead')
    parser.add_argument('--root', type=Path, help="folder of the list's videos (default: that of the list)")
    add_options(parser)
    args = parser.parse_args()
    model = init_recognizer(args.config, args.checkpoint, options=parsed(args.cfg_options))
    shares: dict[str, list[float]] = {}
    for sample, moves in real(model, args) if args.videos else generated(model, args.clips):
        for name, weights in attention_maps(model, views_of(model, sample)).items():
            inside = moves(weights.shape)
            shares.setdefault(name, []).append(float((weights * inside).sum() / weights.sum()))
        shares.setdefault('chance', []).append(float(inside.mean()))
    where = 'on what changes' if args.videos else 'on the disc'
    for name, values in shares.items():
        error = np.std(values) / len(values) ** 0.5
        print(f'{name:10} {np.mean(values):.1%} +- {error:.1%} {where}, {len(values)} clips')


def generated(model, clips: int) -> Iterator[tuple]:
    """New clips, with where the disc is."""
    rng = np.random.default_rng(1)
    for places in list(CLASSES.values()) * clips:
        frames, masks = make_clip(places, rng)
        sample = build_pipeline(model)(to_sample(frames))
        masks = masks[sample['data_samples'].frame_inds]
        yield sample, lambda shape, masks=masks: pooled(masks, shape)


def real(model, args: argparse.Namespace) -> Iterator[tuple]:
    """Clips of a list, with the patches that change most."""
    pipeline, root = build_pipeline(model, 'val'), args.root or args.videos.parent
    for line in args.videos.read_text().splitlines():
        sample = pipeline(to_sample(root / line.rsplit(maxsplit=1)[0]))
        yield sample, lambda shape, sample=sample: changing(sample['inputs'][0].float().mean(dim=0).numpy(), shape)


def changing(frames: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Which patches ``(T, h, w)`` are the fifth whose pixels, of ``(T, H, W)``, change most."""
    steps = np.abs(np.diff(frames, axis=0))
    before, after = np.concatenate([steps[:1], steps]), np.concatenate([steps, steps[-1:]])
    change = pooled((before + after) / 2, shape)
    most = np.zeros(change.size, bool)
    most[np.argsort(-change, axis=None)[: round(MOVES * change.size)]] = True
    return most.reshape(change.shape)


def pooled(frames: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The mean of pixels ``(T, H, W)`` in each patch ``(T, h, w)``."""
    return F.adaptive_avg_pool2d(torch.from_numpy(frames).float(), shape[1:]).numpy()


if __name__ == '__main__':
    main()
