#!/usr/bin/env python
"""Measure clips per second of the real training loop, and the share of time spent waiting for data.

python benchmarks/train.py configs/timesformer_tiny_motion.py --iters 100 [--amp] [--cfg-options data.root=/videos ...]

The run is the one that tools/train.py makes of the config, without validation and checkpoints; its clocks are
MMEngine's, which measure every iteration and the part of it before the batch is there. Batches that were loaded ahead
while the first steps were slow are thrown away, or they would hide how fast the data come.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from mmtsf.config import resolve
from mmtsf.engine.hooks import CheckpointHook
from mmtsf.engine.launch import prepare
from mmtsf.engine.profiling import Iterations, measure, peak_memory, without_traces
from mmtsf.engine.runner.runner import Runner
from mmtsf.engine.runs import apply_arguments
from mmtsf.utils.arguments import add_run_arguments


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('--iters', type=int, default=100, help='iterations in all (default: 100)')
    parser.add_argument('--warm-up', type=int, default=10, help='the first of them, not counted (default: 10)')
    parser.add_argument('--amp', nargs='?', const='bfloat16', choices=['auto', 'bfloat16', 'float16', 'off'])
    parser.add_argument('--json', metavar='FILE', help='write the clocks there')
    parser.add_argument('--checkpoint', type=int, metavar='N', help='write one after N of the iterations that count')
    add_run_arguments(parser)
    parser.set_defaults(resume=None, new_data=False, auto_scale_lr=False, seed=None)
    args = parser.parse_args()
    if args.iters <= args.warm_up:
        parser.error(f'--iters {args.iters} leaves nothing to measure after --warm-up {args.warm_up}')
    if args.checkpoint and not 0 < args.checkpoint < args.iters - args.warm_up:
        parser.error(f'--checkpoint {args.checkpoint} is not within the {args.iters - args.warm_up} that count')
    return args


class FreshBatches(Hook):
    """Throw away the batches that data workers have loaded ahead: they train nothing.

    Args:
        first (int): Number of the first of them.
        number (int): How many.
    """

    priority = 'LOWEST'

    def __init__(self, first: int, number: int) -> None:
        self.numbers = range(first, first + number)

    def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        if runner.iter in self.numbers:
            loss = torch.zeros((), device=next(runner.model.parameters()).device)
            runner.model.train_step = lambda *_, **__: dict(loss=loss)
        else:
            vars(runner.model).pop('train_step', None)


class FirstStep(Hook):
    """Note the time when the first step is done."""

    priority = 'LOWEST'
    time: float | None = None

    def after_train_iter(self, *_: Any, **__: Any) -> None:
        if self.time is None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.time = time.time()


def run(args: argparse.Namespace) -> tuple[Iterations, FirstStep]:
    """Train for so many iterations, and return what was measured and when the first step was done."""
    runner = Runner.from_cfg(training_config(args))
    loader, first = runner.train_dataloader, FirstStep()
    ahead = loader.num_workers * (loader.prefetch_factor or 0)
    warm_up, iters = args.warm_up + ahead, args.iters + ahead
    runner.register_hook(first)
    runner.register_hook(FreshBatches(args.warm_up // 2, ahead))
    ends = [warm_up, iters]
    if args.checkpoint:
        ends.append(warm_up + args.checkpoint)
        runner.register_hook(CheckpointHook(interval=-1, iterations=ends[-1]))
    return measure(runner, iters, warm_up, ends), first


def training_config(args: argparse.Namespace) -> Config:
    """Make the config of tools/train.py without validation and checkpoints."""
    config = prepare(args)
    apply_arguments(config, args)
    config = resolve(config)
    without_traces(config, config.work_dir, args.iters)
    for name in ('val_cfg', 'val_dataloader', 'val_evaluator', 'test_cfg', 'test_dataloader', 'test_evaluator'):
        config[name] = None
    return config


def lines(measured: Iterations) -> Iterator[tuple[str, str]]:
    """Format the results of a run as lines."""
    yield 'iterations', f'{len(measured.seconds)} of {measured.clips} clips'
    yield 'mean iteration, ms', f'{1e3 * np.mean(measured.seconds):.1f}'
    yield 'clips a second', f'{measured.clips_a_second:.1f}'
    yield 'of the time waiting for data', f'{measured.waiting_share:.1%}'
    yield 'data workers', str(len(measured.workers))
    if measured.workers:
        yield 'peak memory, largest worker, MB', f'{max(measured.workers):.0f}'
    for owner, peak in peak_memory().items():
        yield f'peak memory, {owner}, MB', f'{peak:.0f}'


def clocks(measured: Iterations, first: FirstStep) -> dict[str, Any]:
    """Return what was measured, for a file."""
    return dict(
        clips=measured.clips,
        seconds=measured.seconds.tolist(),
        waiting=measured.waiting.tolist(),
        workers=len(measured.workers),
        first_step=first.time,
        gigabytes=peak_memory().get('GPU', 0) / 1e3,
    )


def main() -> None:
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        args.work_dir = args.work_dir or folder
        args.cfg_options = ['log_level=ERROR', *args.cfg_options]
        measured, first = run(args)
        if args.json:
            Path(args.json).write_text(json.dumps(clocks(measured, first)))
        print(f'{args.config}, torch {torch.__version__}, {torch.get_num_threads()} threads\n\n| | |\n|---|---|')
        for name, value in lines(measured):
            print(f'| {name} | {value} |')


if __name__ == '__main__':
    main()
