"""Draw the clips that a data pipeline returns, after decoding and augmentation, one clip per row:

mmtsf browse CONFIG OUT.png --split train --clips 8
"""

import argparse
from pathlib import Path

from mmtsf.utils.arguments import add_config, add_options, check_data_root, parsed
from mmtsf.utils.files import check_target
from mmtsf.utils.imports import for_prediction
from mmtsf.utils.sources import config_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_config(parser)
    parser.add_argument('out', type=Path, help='image to write')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train')
    parser.add_argument('--clips', type=int, default=8, help='videos, evenly from the whole list (default: 8)')
    parser.add_argument('--seed', type=int, default=0, help='of the augmentation (default: 0)')
    add_options(parser)


def check(args: argparse.Namespace) -> None:
    """Check that config and data exist, and that the picture can be written.

    Raises:
        OSError: If something does not exist, or cannot be written.
        ValueError: If an option has no meaning here.
    """
    if args.clips < 1:
        raise ValueError(f'--clips is {args.clips}, expected at least 1')
    check_data_root(config_path(args.config), args.cfg_options)
    check_target(args.out, 'OUT', [Path(args.config)])


def run(args: argparse.Namespace) -> None:
    """Draw the clips."""
    with for_prediction():
        from mmtsf.config import load_config
        from mmtsf.visualization.browse import draw_dataset

    config = load_config(args.config, parsed(args.cfg_options))
    clips, videos = draw_dataset(config[f'{args.split}_dataloader'].dataset, args.out, args.clips, args.seed)
    print(f'wrote {clips} clips of {videos} videos to {args.out}')
