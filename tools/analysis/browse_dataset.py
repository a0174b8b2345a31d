#!/usr/bin/env python
"""Draw the clips that a data pipeline returns, after decoding and augmentation, one clip per row:

python tools/analysis/browse_dataset.py CONFIG OUT.png --split train --clips 8
"""

import argparse
from pathlib import Path

from mmtsf.utils.arguments import add_config, add_options, check_data_root, mistakes_of, new_parser, parsed
from mmtsf.utils.files import check_target
from mmtsf.utils.sources import config_path


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add_config(parser)
    parser.add_argument('out', type=Path, help='image to write')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train')
    parser.add_argument('--clips', type=int, default=8, help='videos, evenly from the whole list (default: 8)')
    parser.add_argument('--seed', type=int, default=0, help='of the augmentation (default: 0)')
    add_options(parser)
    args = parser.parse_args()
    with mistakes_of(parser):
        if args.clips < 1:
            raise ValueError(f'--clips is {args.clips}, expected at least 1')
        check_data_root(config_path(args.config), args.cfg_options)
        check_target(args.out, 'OUT', [Path(args.config)])
    return args


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

import numpy as np
from mmengine.registry import init_default_scope

from mmtsf.config import load_config
from mmtsf.datasets.loading import SeededIndex, SeededItems
from mmtsf.registry import DATASETS
from mmtsf.visualization import draw_clips


def main() -> None:
    args = parse_args()
    init_default_scope('mmtsf')
    dataset = DATASETS.build(load_config(args.config, parsed(args.cfg_options))[f'{args.split}_dataloader'].dataset)
    chosen = np.linspace(0, len(dataset) - 1, min(args.clips, len(dataset))).round().astype(int).tolist()
    clips, titles = [], []
    for index in chosen:
        samples = SeededItems(dataset)[SeededIndex(index, (args.seed, index))]
        for sample in samples if isinstance(samples, list) else [samples]:
            clips += [view.byte().permute(1, 2, 3, 0).numpy() for view in sample['inputs']]
            titles += titles_of(sample, getattr(dataset, 'metainfo', {}).get('classes'))
    draw_clips(clips, titles, args.out)
    print(f'wrote {len(clips)} clips of {len(chosen)} videos to {args.out}')


def titles_of(sample: dict, classes: list[str] | None) -> list[str]:
    """File, frames and class of every view, as far as the pipeline tells them."""
    told, (num_views, _, num_frames) = sample['data_samples'], sample['inputs'].shape[:3]
    item = told.gt_labels.item
    labels = item.tolist() if len(item) == 1 else item.nonzero().flatten().tolist()
    words = ', '.join(classes[label] if classes else str(label) for label in labels)
    name = Path(told.get('filename', 'video')).name
    if 'frame_inds' not in told:
        return [f'{name}: {words}'] * num_views
    clips = told.frame_inds.reshape(-1, num_frames)
    seen = [clips[view % len(clips)] for view in range(num_views)]  # crops of a clip lie one after the other
    return [f'{name}, frames {numbers[0]} to {numbers[-1]}: {words}' for numbers in seen]


if __name__ == '__main__':
    main()
