"""Train a model: mmtsf train configs/timesformer_base_k400.py"""

import argparse
import os
import signal
import sys
from typing import Any

from mmtsf.utils.arguments import add_config, add_run_arguments, check_run
from mmtsf.utils.imports import for_training
from mmtsf.utils.signals import EXIT_CODES
from mmtsf.utils.sources import find_checkpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_config(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint, or without one from the newest in the work dir',
    )
    parser.add_argument(
        '--new-data',
        action='store_true',
        help='with --resume: go on at the next epoch with a training set that has changed',
    )
    parser.add_argument(
        '--amp',
        nargs='?',
        const='bfloat16',
        choices=['auto', 'bfloat16', 'float16', 'off'],
        help='precision: bfloat16 (GPU or CPU; alone, --amp means it), float16 (GPU), off (float32), or auto, the '
        'default of configs: bfloat16 on GPUs that have it, off on CPUs',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate with the batch, instead of reaching the recipe's batch by accumulation",
    )
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='try a few iterations, say what the training will take, and leave nothing behind',
    )
    parser.add_argument('--seed', type=int, help='seed of weights, sample order and augmentation (default: 0)')
    add_run_arguments(parser)


def check(args: argparse.Namespace) -> None:
    """Check paths, and that the options fit together.

    Raises:
        OSError: If something does not exist, or cannot be written.
        ValueError: If an option has no meaning here.
    """
    if args.new_data and not args.resume:
        raise ValueError('--new-data is for --resume; a training that begins takes its data as they are')
    check_run(args)
    if args.resume and args.resume != 'auto':
        find_checkpoint(args.resume)


def run(args: argparse.Namespace) -> None:
    """Train, or try a few iterations."""
    if args.check:
        return
    for number in EXIT_CODES:
        signal.signal(number, leave)
    with for_training():
        from mmtsf.engine.runs import train

    train(args)


def leave(number: int, frame: Any) -> None:
    """Exit at a signal until PreemptionHook takes over; nothing is to be saved yet."""
    print('stopped by a signal before the first iteration', file=sys.stderr, flush=True)
    os._exit(EXIT_CODES[signal.Signals(number)])  # an exception would be met by whatever is being imported or built
