#!/usr/bin/env python
"""Measure clips per second of the real training loop, and the share of time spent waiting for data.

python benchmarks/train.py configs/timesformer_tiny_motion.py --iters 100 [--amp] [--cfg-options data.root=/videos ...]

The run is the one that tools/train.py makes of the config, without validation and checkpoints; its clocks are
MMEngine's, which measure every iteration and the part of it before the batch is there.
"""

import argparse
import runpy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config

from mmtsf.engine.launch import prepare
from mmtsf.engine.profiling import Iterations, measure, peak_memory, without_traces
from mmtsf.engine.runner.runner import Runner
from mmtsf.utils.arguments import add_run_arguments

TOOL = Path(__file__).parents[1] / 'tools/train.py'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('--iters', type=int, default=100, help='iterations in all (default: 100)')
    parser.add_argument('--warm-up', type=int, default=10, help='the first of them, not counted (default: 10)')
    parser.add_argument('--amp', nargs='?', const='bfloat16', choices=['bfloat16', 'float16'])
    add_run_arguments(parser)
    parser.set_defaults(resume=None, new_data=False, auto_scale_lr=False, seed=None)
    args = parser.parse_args()
    if args.iters <= args.warm_up:
        parser.error(f'--iters {args.iters} leaves nothing to measure after --warm-up {args.warm_up}')
    return args


def training_config(args: argparse.Namespace) -> Config:
    """Make the config of tools/train.py without validation and checkpoints."""
    config = prepare(args)
    runpy.run_path(str(TOOL))['apply_arguments'](config, args)
    without_traces(config, config.work_dir, args.iters)
    for name in ('val_cfg', 'val_dataloader', 'val_evaluator', 'test_cfg', 'test_dataloader', 'test_evaluator'):
        config[name] = None
    return config


def lines(measured: Iterations) -> Iterator[tuple[str, str]]:
    """Format the results of a run as lines."""
    yield 'iterations', f'{len(measured.seconds)} of {measured.clips} clips'
    yield 'median iteration, ms', f'{1e3 * np.median(measured.seconds):.1f}'
    yield 'clips a second', f'{measured.clips_a_second:.1f}'
    yield 'of the time waiting for data', f'{measured.waiting_share:.1%}'
    yield 'data workers', str(len(measured.workers))
    if measured.workers:
        yield 'peak memory, largest worker, MB', f'{max(measured.workers):.0f}'
    for owner, peak in peak_memory().items():
        yield f'peak memory, {owner}, MB', f'{peak:.0f}'


def main() -> None:
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        args.work_dir = args.work_dir or folder
        args.cfg_options.setdefault('log_level', 'ERROR')
        measured = measure(Runner.from_cfg(training_config(args)), args.iters, args.warm_up)
        print(f'{args.config}, torch {torch.__version__}, {torch.get_num_threads()} threads\n\n| | |\n|---|---|')
        for name, value in lines(measured):
            print(f'| {name} | {value} |')


if __name__ == '__main__':
    main()
