"""Train, test and draw within a few minutes, on your own videos or on generated ones:

mmtsf quickstart --data videos
mmtsf quickstart

A folder of class folders, videos/CLASS/VIDEO, gives one model, with divided attention. Without --data a motion data set
is generated, in which only the order of frames tells the class, and divided attention is compared with space-only
attention. Epochs, and if need be the size of clips, are chosen so that all of it fits in --minutes; where the machine
gets slower meanwhile, training ends earlier, with its schedule done. It ends with the commands to type next.
"""

import argparse
import time
from pathlib import Path

from mmtsf.utils.files import check_folder
from mmtsf.utils.imports import for_training
from mmtsf.utils.sources import find_checkpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('--data', type=Path, help='folder of class folders (default: a motion data set is generated)')
    parser.add_argument(
        '--out', type=Path, help='folder for all results (default: quickstart, or quickstart_NAME for a folder NAME)'
    )
    parser.add_argument('--minutes', type=float, default=10, help='time for all of it (default: 10)')
    parser.add_argument(
        '--start',
        metavar='CHECKPOINT',
        help='weights to start from: a file, a URL or a published name, or none for random ones (default: published '
        'weights of a TimeSformer that are in the cache, if they fit in the time)',
    )
    parser.add_argument(
        '--videos',
        type=int,
        nargs=3,
        metavar=('TRAIN', 'VAL', 'TEST'),
        help='videos a class of the generated data set (default: 150 15 30, fewer below ten minutes)',
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the split and of training')


def check(args: argparse.Namespace) -> None:
    """Check that data and weights exist and results can be written.

    Raises:
        OSError: If not.
        ValueError: If an option has no meaning.
    """
    if args.data and not args.data.is_dir():
        raise NotADirectoryError(f'{args.data} is not a folder of class folders; give one with a folder for each class')
    if not 0 < args.minutes < float('inf'):
        raise ValueError(f'--minutes is {args.minutes}, expected a number above 0')
    args.out = args.out or Path(f'quickstart_{args.data.resolve().name}' if args.data else 'quickstart')
    check_folder(args.out, '--out')
    if args.start not in (None, 'none'):
        if not args.data:
            raise ValueError('--start is for --data; on generated videos both schemes begin with random weights')
        find_checkpoint(args.start)


def run(args: argparse.Namespace) -> None:
    """Train, test and draw."""
    print(f'this takes about {args.minutes:g} minutes (--minutes); results come to {args.out}/', flush=True)
    begun = time.monotonic()
    with for_training():
        from mmtsf.engine.quickstart import quickstart

    quickstart(args, begun)
