"""Find videos that cannot be read, each in a process of its own, and keep the results."""

import argparse
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import numpy as np
from rich.progress import track

from mmtsf.datasets.decoders import BrokenVideoError, Limits, check_decoder, open_video
from mmtsf.datasets.transforms.read_video import blamed_on
from mmtsf.utils.arguments import NUM_FRAMES

from .isolated_jobs import run_isolated


def check_all(names: list[str], root: Path, file: Path, args: argparse.Namespace) -> dict[str, str]:
    """Check many videos, several at a time, and draw a progress bar.

    Args:
        names (list[str]): Paths of the videos, relative to ``root``.
        root (Path): Folder of the videos.
        file (Path): Where results are kept: what it holds of files that have not changed since is not done again.
        args (argparse.Namespace): The options of :func:`mmtsf.utils.arguments.add_check_arguments`.

    Returns:
        dict[str, str]: Reason by name, empty for a good video.
    """
    check_decoder(args.decoder)
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
    """Identify a file's state and the kind of check, for which a stored result is valid."""
    changed = path.stat().st_mtime_ns if path.exists() else 0
    limits = ''.join(f' {name}={value}' for name, value in sorted(args.limits.items()))
    return f'{os.path.realpath(path)} {changed} {args.decoder} {"full" if args.full else "clip"}{limits}'


def read_known(file: Path) -> Iterator[tuple[tuple[str, str], str]]:
    """Read the results of earlier runs; an incomplete last line is ignored."""
    if file.exists():
        for line in file.read_text(encoding='utf-8', errors='surrogateescape').split('\n')[:-1]:
            if len(words := line.split('\t', 2)) == 3:
                yield (words[0], words[1]), words[2]


def check(path: Path, decoder: str, full: bool, limits: Limits) -> None:
    """Decode frames of a video with the decoder that training uses.

    Raises:
        BrokenVideoError: If it cannot be read, or more of it is missing than there; with ``full``, if any is missing.
    """
    with blamed_on(str(path)):
        reader = open_video(str(path), decoder, limits)
        last = reader.num_frames - 1
        if full:
            for _ in reader.stream(np.arange(last + 1)):
                pass
        else:
            reader.read(np.linspace(0, last, NUM_FRAMES).astype(int))
        lost = getattr(reader, 'num_lost', 0)
        if lost > (0 if full else last + 1):
            raise BrokenVideoError(str(path), f'{lost} packets are damaged or missing beside {last + 1} frames')
