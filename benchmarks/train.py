#!/usr/bin/env python
"""Clips a second of the real training loop, and how long it waits for data.

python benchmarks/train.py configs/timesformer_tiny_motion.py --iters 100 [--amp] [--cfg-options data.root=/videos ...]

The run is the one that tools/train.py makes of the config, without validation and checkpoints; its clocks are
MMEngine's, which measure every iteration and the part of it before the batch is there.
"""

import argparse
import multiprocessing
import resource
import runpy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtsf.launch import add_common_arguments, prepare

TOOL = Path(__file__).parents[1] / 'tools/train.py'


class Done(Exception):
    """Enough iterations have been measured."""


class Stop(Hook):
    """End the run after ``iters`` iterations, and look at the memory of the data workers while they live."""

    priority = 'VERY_HIGH'  # before MMEngine's timer stops: an iteration is over when the GPU is done with it

    def __init__(self, iters: int) -> None:
        self.iters = iters
        self.workers: list[float] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if runner.iter == self.iters:
            self.workers = list(worker_memory())
            raise Done


def worker_memory() -> Iterator[float]:
    """Peak resident memory of the data workers, MB; what they share with the main process counts in each."""
    for process in multiprocessing.active_children():
        status = Path(f'/proc/{process.pid}/status').read_text()
        yield int(status.split('VmHWM:')[1].split()[0]) * 1.024e-3


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('--iters', type=int, default=100, help='iterations in all (default: 100)')
    parser.add_argument('--warm-up', type=int, default=10, help='the first of them, not counted (default: 10)')
    parser.add_argument('--amp', nargs='?', const='bfloat16', choices=['bfloat16', 'float16'])
    add_common_arguments(parser)
    parser.set_defaults(resume=None, auto_scale_lr=False, seed=None)
    args = parser.parse_args()
    if args.iters <= args.warm_up:
        parser.error(f'--iters {args.iters} leaves nothing to measure after --warm-up {args.warm_up}')
    return args


def training_config(args: argparse.Namespace) -> Config:
    """As tools/train.py makes it, with epochs enough and nothing but training."""
    config = prepare(args)
    runpy.run_path(str(TOOL))['apply_arguments'](config, args)
    config.train_cfg.max_epochs = max(config.train_cfg.max_epochs, args.iters + 1)  # one has an iteration at least
    for name in ('val_cfg', 'val_dataloader', 'val_evaluator', 'test_cfg', 'test_dataloader', 'test_evaluator'):
        config[name] = None
    config.default_hooks.checkpoint = None
    return config


def measure(args: argparse.Namespace) -> tuple[Runner, Stop]:
    """The runner after the run, and the hook that ended it."""
    runner = Runner.from_cfg(training_config(args))
    stop = Stop(args.iters)
    runner.register_hook(stop)
    try:
        runner.train()
    except Done:
        return runner, stop
    raise RuntimeError(f'the run ended by itself before {args.iters} iterations')


def lines(runner: Runner, stop: Stop, warm_up: int) -> Iterator[tuple[str, str]]:
    """What there is to say of a run."""
    seconds, waiting = (
        np.asarray(runner.message_hub.get_scalar(f'train/{name}').data[0][warm_up : stop.iters])
        for name in ('time', 'data_time')
    )
    batch = runner.train_dataloader.batch_size
    yield 'iterations', f'{len(seconds)} of {batch} clips'
    yield 'median iteration, ms', f'{1e3 * np.median(seconds):.1f}'
    yield 'clips a second', f'{batch * len(seconds) / seconds.sum():.1f}'
    yield 'of the time waiting for data', f'{waiting.sum() / seconds.sum():.1%}'
    yield 'peak memory, main process, MB', f'{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1.024e-3:.0f}'
    yield 'data workers', str(len(stop.workers))
    if stop.workers:
        yield 'peak memory, largest worker, MB', f'{max(stop.workers):.0f}'
    if torch.cuda.is_available():
        yield 'peak memory, GPU, MB', f'{torch.cuda.max_memory_allocated() / 1e6:.0f}'


def main() -> None:
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        args.work_dir = args.work_dir or folder
        args.cfg_options.setdefault('log_level', 'ERROR')
        runner, stop = measure(args)
        print(f'{args.config}, torch {torch.__version__}, {torch.get_num_threads()} threads\n\n| | |\n|---|---|')
        for name, value in lines(runner, stop, args.warm_up):
            print(f'| {name} | {value} |')


if __name__ == '__main__':
    main()
