#!/usr/bin/env python
"""Measure the memory of a training's main process and data workers over time:

    python benchmarks/reliability/memory.py --minutes 30

Counted are the pages that belong to no file, in memory or swapped out; those that processes share are divided among
them. Pages of libraries are left out: other programs on the machine share them, too, while they run.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Names of each video; an epoch has 240 * 11 of them, and takes a minute or two
LINKS = 10
COUNTED = ('Pss_Anon:', 'Pss_Shmem:', 'SwapPss:')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=30)
    parser.add_argument('--warm-up', type=float, default=2, help='minutes that are not looked at (default: 2)')
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--interval', type=float, default=5, help='seconds between two looks (default: 5)')
    return parser.parse_args()


def megabytes(pid: int) -> float:
    """Return the proportional set size of a process in MB."""
    lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(COUNTED)) / 1024


def look(pid: int) -> tuple[float, float] | None:
    """Return MB of the main process and of all its workers; None while processes start or end."""
    try:
        children = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
        return megabytes(pid), sum(megabytes(int(child)) for child in children)
    except OSError:
        return None


def train(folder: Path, workers: int) -> subprocess.Popen:
    """Start an endless training on tiny input, with validation and checkpoints."""
    data = folder / 'motion'
    command = [sys.executable, 'tools/data/make_motion.py', data, '--videos', '60', '4', '1']
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    for video in list(data.glob('train/*/*.mp4')):
        for number in range(LINKS):  # long epochs: workers live for one
            os.link(video, video.with_stem(f'{video.stem}_{number}'))
    changes = {'data.root': data, 'max_epochs': 100000, 'global_batch_size': 8, 'train_dataloader.batch_size': 8}
    changes |= {'train_dataloader.num_workers': workers, 'model.backbone.num_layers': 2}
    changes |= {'default_hooks.checkpoint.minutes': 1, 'log_level': 'DEBUG'}  # all lines are looked at
    words = ['--work-dir', folder / 'run', '--cfg-options', *(f'{key}={value}' for key, value in changes.items())]
    training = [sys.executable, 'tools/train.py', 'configs/timesformer_tiny_motion.py', *map(str, words)]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    with (folder / 'log').open('w') as log:
        return subprocess.Popen(training, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)


def watch(run: subprocess.Popen, log: Path, args: argparse.Namespace) -> list[tuple[float, float]]:
    """Collect samples after the warm-up and the first validation, whose workers persist."""
    time.sleep(60 * args.warm_up)
    while run.poll() is None and 'videos: ' not in log.read_text():
        time.sleep(args.interval)
    end, samples = time.monotonic() + 60 * (args.minutes - args.warm_up), []
    while time.monotonic() < end:
        time.sleep(args.interval)
        if run.poll() is not None:
            raise RuntimeError(f'the training ended with code {run.returncode}')
        if found := look(run.pid):
            samples.append(found)
    return samples


def table(samples: list[tuple[float, float]], args: argparse.Namespace) -> str:
    """Format the means of the first, middle and last tenth of the samples as a Markdown table."""
    tenth = max(len(samples) // 10, 1)
    middle = (len(samples) - tenth) // 2
    parts = [samples[:tenth], samples[middle : middle + tenth], samples[-tenth:]]
    rows = [
        f'{args.minutes:g} minutes, {len(samples)} looks after a warm-up of {args.warm_up:g}; means of a tenth, in MB',
        '',
        '| | start | middle | end | growth |',
        '|---|---:|---:|---:|---:|',
    ]
    for column, name in enumerate(('main process', f'{args.workers} workers')):
        start, between, end = (sum(sample[column] for sample in part) / len(part) for part in parts)
        rows.append(f'| {name} | {start:.0f} | {between:.0f} | {end:.0f} | {100 * (end / start - 1):+.1f} % |')
    return '\n'.join(rows)


def main() -> None:
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = train(Path(folder), args.workers)
        try:
            samples = watch(run, Path(folder, 'log'), args)
        finally:
            run.kill()
            run.wait()
        log = Path(folder, 'log').read_text()
        iterations, epochs = 20 * log.count('Epoch(train)'), log.count('videos: ')
    print(f'{table(samples, args)}\n\n{iterations} iterations, {epochs} epochs')


if __name__ == '__main__':
    main()
