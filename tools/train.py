#!/usr/bin/env python
"""Train a model: python tools/train.py configs/timesformer_base_k400.py"""

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any

from mmtsf.utils.arguments import add_config, add_run_arguments, check_run, mistakes_of, new_parser
from mmtsf.utils.signals import EXIT_CODES
from mmtsf.utils.sources import find_checkpoint


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
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
    args = parser.parse_args()
    with mistakes_of(parser):
        if args.new_data and not args.resume:
            raise ValueError('--new-data is for --resume; a training that begins takes its data as they are')
        check_run(args)
        if args.resume and args.resume != 'auto':
            find_checkpoint(args.resume)
    if args.check:
        parser.exit()
    return args


def leave(number: int, frame: Any) -> None:
    """Exit at a signal until PreemptionHook takes over; nothing is to be saved yet."""
    print('stopped by a signal before the first iteration', file=sys.stderr, flush=True)
    os._exit(EXIT_CODES[signal.Signals(number)])  # an exception would be met by whatever is being imported or built


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds
    for number in EXIT_CODES:
        signal.signal(number, leave)

from mmengine.config import Config
from mmengine.dist import is_main_process

from mmtsf.engine.dry_run import dry_run
from mmtsf.engine.launch import prepare, rank_of
from mmtsf.engine.runner import Runner
from mmtsf.engine.runner.checkpoint_files import CheckpointFiles
from mmtsf.engine.runner.job import may_be_restarted
from mmtsf.engine.runner.precision import choose
from mmtsf.engine.runner.work_dir import claim, refuse_used


def apply_arguments(config: Config, args: argparse.Namespace) -> None:
    """Apply the command line's options to the config."""
    if args.seed is not None:
        config.randomness.seed = args.seed
    if args.resume == 'auto':
        config.resume = 'auto'
    elif args.resume:
        config.resume, config.load_from = True, args.resume
    config.new_data = args.new_data
    if args.amp:
        choose(args.amp)  # refuses what this machine does not have, before anything is written
        config.amp = args.amp
    if args.auto_scale_lr:
        config.auto_scale_lr.enable = True


def main() -> None:
    args = parse_args()
    config = prepare(args)
    apply_arguments(config, args)
    if args.dry_run:
        lines = list(dry_run(config))
        if is_main_process():
            print(*lines, sep='\n')
        return
    if rank_of(args.launcher) == 0:  # before anything is written there
        claim(Path(config.work_dir))
        if not (config.get('resume') or may_be_restarted()):
            refuse_used(CheckpointFiles(Path(config.work_dir)))
    Runner.from_cfg(config).train()


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
