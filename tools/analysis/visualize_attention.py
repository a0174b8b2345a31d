#!/usr/bin/env python
"""Draw a model's attention rollout on the middle clip of a video:

python tools/analysis/visualize_attention.py VIDEO CONFIG CHECKPOINT OUT.png

Writes OUT.png, a strip of the clip's frames, and OUT.mp4, all frames from its first to its last. Where the attention
has several steps, as divided attention has time and space, there is a map of each step, too: in the blocks below the
last one that step alone is followed. With --step there is one map instead, of what one token takes from every patch in
one step of one block:

python tools/analysis/visualize_attention.py VIDEO CONFIG CHECKPOINT OUT.png --step space --block 3 --query 4 7 7
"""

import argparse
from pathlib import Path

from mmtsf.utils.arguments import add_model, add_options, check_exists, check_model, mistakes_of, new_parser, parsed
from mmtsf.utils.files import check_target
from mmtsf.utils.imports import skip_optimizers


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    parser.add_argument('video', help='video file or folder of frames')
    add_model(parser)
    parser.add_argument('out', type=Path, help='image to write; the video lies beside it')
    parser.add_argument('--step', help='name of a step, e.g. time or space')
    parser.add_argument('--block', type=int, default=-1, help='number of its block, from 0 (default: the last)')
    parser.add_argument('--head', type=int, help='number of a head (default: the mean of all)')
    parser.add_argument(
        '--query',
        type=int,
        nargs=3,
        metavar=('FRAME', 'ROW', 'COLUMN'),
        help='patch whose attention it is (default: the classification token)',
    )
    add_options(parser)
    args = parser.parse_args()
    with mistakes_of(parser):
        check_exists(args.video, 'a video file or a folder of frames')
        check_model(args)
        for target in (args.out, args.out.with_suffix('.mp4')):
            check_target(target, 'OUT', [Path(args.video), Path(args.config), Path(args.checkpoint)])
    return args


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds
    skip_optimizers()

import torch
from mmengine.dataset import pseudo_collate

from mmtsf.apis import attention_maps, best_classes, init_recognizer, middle_clip, write_attention
from mmtsf.apis.attention_maps import of_frames
from mmtsf.engine.launch import keep_freed_memory
from mmtsf.visualization import attention_of, draw_attention


def main() -> None:
    args = parse_args()
    model = init_recognizer(args.config, args.checkpoint, options=parsed(args.cfg_options), fused=True)
    keep_freed_memory(model.data_preprocessor.device)
    clip = middle_clip(model, args.video)
    if args.step:
        query = tuple(args.query) if args.query else None
        weights = attention_of(model.backbone, clip.clip, args.block, args.step, query, args.head)
        maps = {args.step: of_frames(weights, len(clip.numbers))}
    else:
        maps = attention_maps(model, clip.clip)
    with torch.no_grad():
        scores = model.test_step(pseudo_collate([clip.sample]))[0].pred_scores.item
    best = best_classes(scores.cpu().numpy(), model.dataset_meta['classes'], 1)
    frames = clip.of_video(args.video)
    title = f'{best["names"][0]} ({best["scores"][0]:.0%})'
    draw_attention(frames.pictures, maps, title, args.out, frames.times, frames.box)
    write_attention(args.video, clip, maps, args.out.with_suffix('.mp4'))
    print(f'wrote {args.out} and {args.out.with_suffix(".mp4")}')


if __name__ == '__main__':
    main()
