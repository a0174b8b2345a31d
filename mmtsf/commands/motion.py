"""Write a small data set of real video files in which only the order of frames tells the class.

A disc moves sideways over a still background. It stands on the same 8 places in every class, three frames on each, so
that neither a frame nor the set of all frames says anything about the class:

    mmtsf motion data/motion

or its opposite, in which any frame tells the class, the pattern on the disc, and the motion says nothing:

    mmtsf motion data/patterns --kind patterns
"""

import argparse

from mmtsf.utils.arguments import place
from mmtsf.utils.files import check_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('out', type=place, help='folder to write to, here or at an address')
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


def check(args: argparse.Namespace) -> None:
    """Check that the folder can be written."""
    check_folder(args.out, 'OUT')


def run(args: argparse.Namespace) -> None:
    """Write the videos."""
    from mmtsf.preparation.motion import write_videos

    write_videos(args.out, args.videos, args.kind, args.seed)
