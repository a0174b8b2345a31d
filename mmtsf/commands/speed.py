"""Measure the time of testing over a list, as section 4.5 of the paper gives it for the 20,000 videos of Kinetics-400:

mmtsf speed CONFIG CHECKPOINT

Takes the config's test list and protocol; views.num_clips=10 and the like change them. The first row is all of it:
videos are decoded by test_dataloader.num_workers processes while the model computes. The second is the model alone, on
a whole batch of clips in memory. Batches are of test_dataloader.batch_size videos, also where --limit is not a multiple
of it. After Ctrl-C there is the first row, of the videos so far.
"""

import argparse

from mmtsf.utils.arguments import add_model, add_options, check_model, parsed
from mmtsf.utils.imports import for_prediction


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_model(parser)
    parser.add_argument('--limit', type=int, help='videos that are tested (default: all of the list)')
    parser.add_argument('--videos', type=int, default=20_000, help='for which hours are given (default: 20000)')
    add_options(parser)


def check(args: argparse.Namespace) -> None:
    """Check that the options have a meaning, and the paths.

    Raises:
        OSError: If something does not exist.
        ValueError: If an option has no meaning here.
    """
    if args.videos < 1 or (args.limit is not None and args.limit < 1):
        raise ValueError(f'--videos is {args.videos} and --limit {args.limit}, expected at least 1')
    check_model(args)


def run(args: argparse.Namespace) -> None:
    """Test the videos, and print a row of rates for decoding and model, and one for the model alone."""
    with for_prediction():
        from mmtsf.apis.speed import measure
    measure(args.config, args.checkpoint, parsed(args.cfg_options), args.limit, args.videos)
