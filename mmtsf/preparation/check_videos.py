"""Find the videos that cannot be read, each in a process of its own, and keep what is known of them."""

import argparse
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import numpy as np
from mmengine.config import DictAction
from rich.progress import track

from mmtsf.datasets.decoders import DECODERS, Limits, open_video
from mmtsf.datasets.transforms.read_video import blamed_on
from mmtsf.engine.launch import num_cores

from .isolated_jobs import run_isolated

NUM_FRAMES = 8  # from the first to the last


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`check_all` takes."""
    parser.add_argument('--decoder', choices=sorted(DECODERS), default='pyav')
    add_limits(parser)
    parser.add_argument('--full', action='store_true', help=f'decode every frame (default: {NUM_FRAMES} of a video)')
    parser.add_argument('--time-limit', type=float, help='seconds for a video (default: 60, or 600 with --full)')
    parser.add_argument('--workers', type=int, default=num_cores(), help='videos at a time (default: one a CPU)')


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--limits``, arguments of :class:`Limits`."""
    words = 'sizes above which a video is refused, other than the default: frame_pixels, sample_pixels, frames'
    parser.add_argument('--limits', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE', help=words)


def refuse_mistakes(args: argparse.Namespace) -> None:
    """Raise where the options of :func:`add_arguments` cannot be meant."""
    if args.workers < 1 or (args.time_limit or 1) <= 0:
        raise ValueError(f'--workers is {args.workers} and --time-limit {args.time_limit}, expected more than 0')
    Limits(**args.limits)


def check_all(names: list[str], root: Path, file: Path, args: argparse.Namespace) -> dict[str, str]:
    """Check many videos, several at a time, and draw a progress bar.

    Args:
        names (list[str]): Paths of the videos, relative to ``root``.
        root (Path): Folder of the videos.
        file (Path): Where results are kept: what it holds of files that have not changed since is not done again.
        args (argparse.Namespace): The options of :func:`add_arguments`.

    Returns:
        dict[str, str]: Reason by name, empty for a good video.
    """
    stamps = {name: stamp(root / name, args) for name in names}
    known = dict(read_known(file))
    reasons = {name: known[name, stamps[name]] for name in names if (name, stamps[name]) in known}
    how = args.decoder, args.full, Limits(**args.limits)
    left = [(name, root / name, *how) for name in names if name not in reasons]
    time_limit = args.time_limit or (600 if args.full else 60)
    jobs = cast(Generator[tuple[str, str], None, None], run_isolated(check, left, args.workers, time_limit))
    with file.open('a', encoding='utf-8', errors='surrogateescape') as lines, closing(jobs):
        for name, reason in track(jobs, 'checking', len(left), disable=not sys.stdout.isatty()):
            reasons[name] = reason
            if '\t' not in name:
                print(f'{name}\t{stamps[name]}\t{reason}', file=lines, flush=True)
            if reason:
                print(f'bad: {name}: {reason}', file=sys.stderr)
    return {name: reasons[name] for name in names}


def stamp(path: Path, args: argparse.Namespace) -> str:
    """What a result holds for: the file as it is, and how it is checked."""
    changed = path.stat().st_mtime_ns if path.exists() else 0
    limits = ''.join(f' {name}={value}' for name, value in sorted(args.limits.items()))
    return f'{os.path.realpath(path)} {changed} {args.decoder} {"full" if args.full else "clip"}{limits}'


def read_known(file: Path) -> Iterator[tuple[tuple[str, str], str]]:
    """Results of earlier runs; the last line may be one that was interrupted."""
    if file.exists():
        for line in file.read_text(encoding='utf-8', errors='surrogateescape').split('\n')[:-1]:
            if len(words := line.split('\t', 2)) == 3:
                yield (words[0], words[1]), words[2]


def check(path: Path, decoder: str, full: bool, limits: Limits) -> None:
    """Decode frames of a video, as training does.

    Raises:
        BrokenVideoError: If it cannot be read.
    """
    with blamed_on(str(path)):
        reader = open_video(str(path), decoder, limits)
        last = reader.num_frames - 1
        if not full:
            reader.read(np.linspace(0, last, NUM_FRAMES).astype(int))
            return
        for _ in reader.stream(np.arange(last + 1)):
            pass
