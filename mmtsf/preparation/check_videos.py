"""Find videos that cannot be read, each in a process of its own, and keep the results."""

import argparse
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from mmtsf.batch.engine import run
from mmtsf.batch.job import Job
from mmtsf.datasets.annotation_list import write_list
from mmtsf.datasets.decoders import BrokenVideoError, Limits, check_decoder, open_video
from mmtsf.datasets.shards import check_whole, shard_of_name
from mmtsf.datasets.transforms.read_video import blamed_on
from mmtsf.utils.arguments import NUM_FRAMES
from mmtsf.utils.class_folders import empty_folders
from mmtsf.utils.files import make_folder, write_text
from mmtsf.utils.locations import is_address, location, states_of, within
from mmtsf.utils.results import growing_file, kept_lines, stoppable
from mmtsf.utils.text import counted, shorten

from .video_paths import list_source


def write_checked(args: argparse.Namespace) -> int:
    """Check the videos of a folder or a list, and write lists of the good and the bad ones.

    Args:
        args (argparse.Namespace): Arguments of :mod:`mmtsf.commands.check`.

    Returns:
        int: 1 if one is bad.
    """
    is_folder = args.source.is_dir()
    root, videos = list_source(args.source, args.root, args.allow_outside)
    make_folder(args.out)
    names = list(dict.fromkeys(row.path for row in videos.rows))
    inner = (name for name in names if shard_of_name(str(within(root, name))))
    shards = dict.fromkeys(f'{name.partition(".tar/")[0]}.tar' for name in inner)
    reasons = check_all([*shards, *names], root, args.out / 'bad.txt', args)
    bad = {name: reason for name, reason in reasons.items() if reason}
    write_list(args.out / f'good{".txt" if is_folder else args.source.suffix}', videos, {}, bad)
    print(
        f'{counted(sum(name not in bad for name in names), "good video")}, {len(bad)} bad; the lists lie in {args.out}'
    )
    if is_folder and (empty := empty_folders(root)):
        print(
            f'warning: empty, which mmtsf train refuses: {shorten(map(str, empty))}; put videos in, or remove them',
            file=sys.stderr,
        )
    return 1 if bad else 0


def check_all(names: list[str], root: Any, listed: Path, args: argparse.Namespace) -> dict[str, str]:
    """Check many videos, several at a time, draw a progress bar, and list the bad ones as they are found.

    Args:
        names (list[str]): Paths of the videos, relative to ``root``.
        root (Path): Folder of the videos.
        listed (Path): List of the bad ones with their reasons. In ``checked.tsv`` beside it results are kept: what it
            holds of files that have not changed since is not done again.
        args (argparse.Namespace): The options of :func:`mmtsf.utils.arguments.add_check_arguments`.

    Returns:
        dict[str, str]: Reason by name, empty for a good video.
    """
    check_decoder(args.decoder)
    file = listed.with_name('checked.tsv')
    paths = [within(root, name) for name in names]
    files = [location(shard_of_name(str(path)) or path) for path in paths]
    states = dict(zip(dict.fromkeys(files), states_of(dict.fromkeys(files))))
    stamps = {name: stamp(path, states[file], args) for name, path, file in zip(names, paths, files)}
    known = dict(read_known(file))
    reasons = {name: known[name, stamps[name]] for name in names if (name, stamps[name]) in known}
    left = [name for name in names if name not in reasons]
    with (
        stoppable(len(left), 'videos', 'the same command goes on from here') as is_done,
        growing_file(listed) as add,
        kept_lines(file) as keep,
        closing(results(left, root, args)) as found,
    ):
        add(bad_lines(reasons))
        for name, reason in found:
            reasons[name] = reason
            if '\t' not in name:
                keep(f'{name}\t{stamps[name]}\t{reason}')
            if reason:
                add(bad_lines({name: reason}))
                print(f'bad: {name}: {reason}', file=sys.stderr)
            is_done()
    reasons = {name: reasons[name] for name in names}
    write_text(listed, bad_lines(reasons))  # in the order of the videos
    return reasons


def bad_lines(reasons: dict[str, str]) -> str:
    """Return the lines of the bad videos."""
    return ''.join(f'{name}\t{reason}\n' for name, reason in reasons.items() if reason)


def results(names: list[str], root: Any, args: argparse.Namespace) -> Generator[tuple[str, str], None, None]:
    """Check videos, and draw a progress bar: names with reasons, empty for a good video, as they come."""
    with closing(run(Check(root, args), names, args)) as found:
        for result in track(found, 'checking', len(names), disable=not sys.stdout.isatty()):
            yield names[result.place], result.reason


class Check(Job):
    """Decode frames of videos, see :func:`check`.

    Args:
        root (Path): Their folder.
        args (argparse.Namespace): The options of :func:`mmtsf.utils.arguments.add_check_arguments`.
    """

    def __init__(self, root: Any, args: argparse.Namespace) -> None:
        self.root, self.decoder, self.full, self.limits = root, args.decoder, args.full, Limits(**args.limits)
        self.time_limit = args.time_limit or (600 if args.full else 60)

    def load(self) -> None:
        """Check that there is the decoder."""
        check_decoder(self.decoder)

    def prepare(self, video: str) -> None:
        """Check a video."""
        check(within(self.root, video), self.decoder, self.full, self.limits)


def stamp(path: Any, state: str | int, args: argparse.Namespace) -> str:
    """Identify a file's state and the kind of check, for which a stored result is valid."""
    limits = ''.join(f' {name}={value}' for name, value in sorted(args.limits.items()))
    name = path if is_address(path) else os.path.realpath(path)
    return f'{name} {state} {args.decoder} {"full" if args.full else "clip"}{limits}'


def read_known(file: Path) -> Iterator[tuple[tuple[str, str], str]]:
    """Read the results of earlier runs; an incomplete last line is ignored."""
    if file.exists():
        for line in file.read_text(encoding='utf-8', errors='surrogateescape').split('\n')[:-1]:
            if len(words := line.split('\t', 2)) == 3:
                yield (words[0], words[1]), words[2]


def check(path: Any, decoder: str, full: bool, limits: Limits) -> None:
    """Decode frames of a video with the decoder that training uses, or compare a shard with its index.

    Raises:
        BrokenVideoError: If it cannot be read, or more of it is missing than there; with ``full``, if any is missing.
    """
    with blamed_on(str(path)):
        if check_whole(str(path)):
            return
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
