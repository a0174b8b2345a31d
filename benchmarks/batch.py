#!/usr/bin/env python
"""Time many videos on this machine, by the local engine and by Ray, and their memory.

python benchmarks/batch.py CLIPS --job features --rows 200 1000 --repeats 3
python benchmarks/batch.py CLIPS --job check --rows 2000 20000 --repeats 1 --engines ray

CLIPS is a folder of videos, which are repeated by links to so many rows. Each measurement is a command of its own; the
engines take turns. Of two numbers of rows, the difference gives the time of a row, and what is left the start: Python's
imports, the model and, with Ray, its processes. CPU seconds are those of all processes, and are of use where other
programs take the cores. Memory is the peak of the proportional set sizes (PSS) of the command
and all that it starts, with Ray's store, sampled twice a second.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('clips', type=Path)
    parser.add_argument('--job', choices=('features', 'check'), default='features')
    parser.add_argument('--config', default='mmtsf::timesformer_tiny_motion.py')
    parser.add_argument('--checkpoint', type=Path, help='weights of that config (default: random ones)')
    parser.add_argument('--cfg-options', nargs='+', default=[])
    parser.add_argument('--rows', type=int, nargs='+', default=[200, 1000])
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--engines', nargs='+', default=['local', 'ray'])
    args = parser.parse_args()
    clips = sorted(path.resolve() for path in args.clips.rglob('*') if path.suffix in ('.mp4', '.avi'))[:300]
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = args.checkpoint or random_weights(args, Path(folder))
        found: dict[tuple[str, int], list[dict]] = {}
        for number, count, engine in itertools.product(range(args.repeats), args.rows, args.engines):
            videos = linked(clips, count, Path(folder))
            row = measured(command(args, videos, checkpoint, Path(folder, f'{engine}{count}{number}')), engine)
            found.setdefault((engine, count), []).append(row)
            print(json.dumps(dict(job=args.job, engine=engine, rows=count, **row)), flush=True)
    report(found, args)


def random_weights(args: argparse.Namespace, folder: Path) -> Path:
    """Save random weights of a config."""
    import torch

    from mmtsf.apis import init_recognizer
    from mmtsf.utils.arguments import parsed

    model = init_recognizer(args.config, device='cpu', options=parsed(args.cfg_options))
    backbone = model.cfg.model.backbone.to_dict()
    torch.save(dict(state_dict=model.state_dict(), meta=dict(backbone=backbone)), folder / 'random.pth')
    return folder / 'random.pth'


def linked(clips: list[Path], count: int, folder: Path) -> Path:
    """Make a folder of so many links to clips."""
    videos = folder / f'videos{count}'
    if not videos.exists():
        videos.mkdir()
        for number, clip in zip(range(count), itertools.cycle(clips)):
            (videos / f'{number:06}{clip.suffix}').symlink_to(clip)
    return videos


def command(args: argparse.Namespace, videos: Path, checkpoint: Path, out: Path) -> list[str]:
    """Return the words of the command, but for the engine."""
    words = [sys.executable, '-m', 'mmtsf', args.job, str(videos)]
    if args.job == 'check':
        return [*words, '--out', str(out)]
    options = ['--cfg-options', *args.cfg_options] if args.cfg_options else []
    return [*words, args.config, str(checkpoint), f'{out}.parquet', '--device', 'cpu', *options]


def measured(words: list[str], engine: str) -> dict[str, float]:
    """Run a command; its seconds, its CPU seconds, and the peak of its memory in MB, of itself and of all it starts."""
    begin, own, whole, spent = time.perf_counter(), 0.0, 0.0, dict[int, float]()
    process = subprocess.Popen([*words, '--engine', engine], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    last = 0.0
    while process.poll() is None:
        if time.perf_counter() - last > 0.5:
            last, sizes = time.perf_counter(), looked_at(process.pid, spent)
            of_command = list(sizes.values())[: 2 if engine == 'ray' else 1]  # by Ray it goes on in its first child
            own, whole = max(own, sum(of_command)), max(whole, sum(sizes.values()))
        time.sleep(0.02)
    if process.returncode not in (0, 1):
        raise RuntimeError(f'{" ".join(words)} ended with {process.returncode}')
    seconds = time.perf_counter() - begin
    return dict(seconds=seconds, cpu_seconds=sum(spent.values()), command_mb=own, all_mb=whole)


def looked_at(pid: int, spent: dict[int, float]) -> dict[int, float]:
    """Return the proportional set sizes of a process and its children in MB, and note the CPU seconds of each."""
    sizes = {}
    with suppress(psutil.NoSuchProcess):
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            with suppress(psutil.Error, OSError):
                sizes[process.pid] = process.memory_full_info().pss / 1e6
                spent[process.pid] = sum(process.cpu_times()[:2])
    return sizes


def report(found: dict[tuple[str, int], list[dict]], args: argparse.Namespace) -> None:
    """Print medians, and what a row and the start take."""
    rows = {
        key: {name: statistics.median(row[name] for row in group) for name in group[0]} for key, group in found.items()
    }
    print('| job | engine | rows | seconds | CPU seconds | command, MB | all, MB |\n|---|---|---|---|---|---|---|')
    for (engine, count), row in rows.items():
        print(f'| {args.job} | {engine} | {count} | {" | ".join(f"{value:.1f}" for value in row.values())} |')
    few, many = min(args.rows), max(args.rows)
    for engine, what in itertools.product(args.engines if many > few else [], ('seconds', 'cpu_seconds')):
        each = (rows[engine, many][what] - rows[engine, few][what]) / (many - few)
        start = rows[engine, few][what] - few * each
        print(f'{engine}: {1 / each:.1f} rows in one of {what}, start {start:.1f}; {os.cpu_count()} CPUs')


if __name__ == '__main__':
    main()
