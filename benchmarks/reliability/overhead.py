#!/usr/bin/env python
"""Compare the iteration time of this project's runner with MMEngine's, on the tiny config.

    python benchmarks/reliability/overhead.py --rounds 7

Both train the same, in turn: the quickstart, for two epochs. Time of the clock is that of the run; time of processors,
which others on the machine disturb less, is of the main process and its workers. With --workers 0 all is done in one
process, which is least disturbed: two that share a core's units slow each other down by chance. Plain are MMEngine's
runner, epoch loop, hooks and optimizer wrapper and PyTorch's data loader, without the hooks for signals, losses, broken
videos and seeds.
"""

import argparse
import gc
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mmengine

ROOT = Path(__file__).parents[2]
MINE = ('preemption', 'finite_loss', 'broken_videos', 'reproducibility', 'checkpoint_format')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--workers', type=int, default=0, help='data workers (default: 0)')
    parser.add_argument('--seconds', nargs=2, metavar=('KIND', 'DATA'), help=argparse.SUPPRESS)
    return parser.parse_args()


def train(kind: str, data: str, workers: int) -> None:
    """Train for two epochs, and print the seconds of clock and processors."""
    from mmtsf.config import load_config
    from mmtsf.engine.runner.runner import Runner

    options = {'data.root': data, 'max_epochs': 2}
    options |= {f'{split}_dataloader.num_workers': workers for split in ('train', 'val')}
    config = load_config(str(ROOT / 'configs/timesformer_tiny_motion.py'), options)
    config.work_dir = tempfile.mkdtemp(dir=data)
    runner_class = Runner
    if kind == 'plain':
        runner_class = mmengine.runner.Runner
        config.train_cfg.type = 'mmengine.EpochBasedTrainLoop'
        for part in (config.default_hooks.checkpoint, config.default_hooks.logger, config.optim_wrapper):
            part.type = f'mmengine.{part.type}'
        for name in MINE:
            config.default_hooks.pop(name)
    runner = runner_class.from_cfg(config)
    begin, before = time.perf_counter(), processor_seconds()
    runner.train()
    clock = time.perf_counter() - begin
    del runner  # and its workers, whose seconds count when they have ended
    gc.collect()
    print('seconds', clock, processor_seconds() - before)


def processor_seconds() -> float:
    """Return processor seconds of this process and its finished children."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def seconds(kind: str, data: str, workers: int) -> list[float]:
    """Measure wall-clock and processor seconds of a training in a separate process."""
    command = [sys.executable, __file__, '--workers', str(workers), '--seconds', kind, data]
    environment = dict(os.environ, OMP_NUM_THREADS='1')
    log = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    return [float(word) for word in log.split()[-2:]]


def main() -> None:
    args = parse_args()
    if args.seconds:
        train(*args.seconds, args.workers)
        return
    times: dict[str, list[list[float]]] = dict(plain=[], survives=[])
    with tempfile.TemporaryDirectory() as data:
        make = [sys.executable, ROOT / 'tools/data/make_motion.py', data, '--videos', '150', '15', '2']
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        for number in range(args.rounds):
            for kind in sorted(times, reverse=bool(number % 2)):
                times[kind].append(seconds(kind, data, args.workers))
            print({kind: [round(value, 2) for value in values[-1]] for kind, values in times.items()}, flush=True)
    for name, mine, plain in zip(('clock', 'processors'), zip(*times['survives']), zip(*times['plain'])):
        print(f'{name}: ratio of medians {statistics.median(mine) / statistics.median(plain):.3f}')


if __name__ == '__main__':
    main()
