"""Find videos that cannot be read, each in a process of its own, and keep the results."""

import argparse
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from mmtsf.batch.engine import run
from mmtsf.batch.job import Job
from mmtsf.datasets.annotation_list import AnnotationList, Row, write_list
from mmtsf.datasets.decoders import BrokenVideoError, Limits, check_decoder, open_video
from mmtsf.datasets.decoders.held_file import without_name
from mmtsf.datasets.shards import check_whole, shard_of_name
from mmtsf.datasets.transforms.read_video import blamed_on
from mmtsf.utils.arguments import NUM_FRAMES
from mmtsf.utils.class_folders import empty_folders
from mmtsf.utils.files import make_folder, write_text
from mmtsf.utils.locations import fact_of, facts_of, is_address, location, within
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
    say_repeated(videos)
    names = list(dict.fromkeys(row.path for row in videos.rows))
    inner = (name for name in names if _shard_of(root, name))
    shards = dict.fromkeys(f'{name.partition(".tar/")[0]}.tar' for name in inner)
    reasons = check_all([*shards, *names], root, args.out / 'bad.txt', args)
    bad = {name: reason for name, reason in reasons.items() if reason}
    write_list(args.out / f'good{".txt" if is_folder else args.source.suffix}', videos, {}, bad, root)
    print(
        f'{counted(sum(name not in bad for name in names), "good video")}, {len(bad)} bad; the lists lie in {args.out}'
    )
    if is_folder and (empty := empty_folders(root)):
        print(
            f'warning: empty, which mmtsf train refuses: {shorten(map(str, empty))}; put videos in, or remove them',
            file=sys.stderr,
        )
    return 1 if bad else 0


def say_repeated(videos: AnnotationList) -> None:
    """Warn of videos that several rows of a list name, by other spellings, too, and of other labels there."""
    first = dict[str, Row]()
    again = [(first[row.path], row) for row in videos.rows if first.setdefault(row.path, row) is not row]
    others = [
        f'{row.path} ({" ".join(before.labels)}, then {" ".join(row.labels)})'
        for before, row in again
        if row.labels != before.labels
    ]
    if again:
        print(
            f'warning: named again in the list: {shorten(row.path for _, row in again)}',
            file=sys.stderr,
        )
    if others:
        print(f'warning: with other labels: {shorten(others)}; correct the list', file=sys.stderr)


def check_all(names: list[str], root: Any, listed: Path, args: argparse.Namespace) -> dict[str, str]:
    """Check many videos, several at a time, draw a progress bar, and list the bad ones as they are found.

    Args:
        names (list[str]): Paths of the videos, relative to ``root``.
        root (Path): Folder of the videos.
        listed (Path): List of the bad ones with their reasons. In ``checked.tsv`` beside it results are kept: what it
            holds of files that have not changed since is not done again. What stood between us and a file (rights, a
            network, a disk, time, memory) is not kept: the same command tries again.
        args (argparse.Namespace): The options of :func:`mmtsf.utils.arguments.add_check_arguments`.

    Returns:
        dict[str, str]: Reason by name, empty for a good video.
    """
    check_decoder(args.decoder)
    file = listed.with_name('checked.tsv')
    reasons = known_reasons(names, root, file, args)
    left = [name for name in names if name not in reasons]
    with (
        stoppable(len(left), 'videos', 'the same command goes on from here') as is_done,
        growing_file(listed) as add,
        kept_lines(file) as keep,
        closing(results(left, root, args)) as found,
    ):
        add(bad_lines(reasons))
        for name, reason, state in found:
            reasons[name] = reason
            if state and '\t' not in name:
                keep(f'{name}\t{stamp(within(root, name), state, args)}\t{reason}')
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


def known_reasons(names: list[str], root: Any, file: Any, args: argparse.Namespace) -> dict[str, str]:
    """Return what earlier runs have found that still holds, asking about the files of these results alone."""
    known = dict(read_known(file))
    before = {name for name, _ in known}
    names = [name for name in names if name in before]
    files = {name: _file_of(root, name) for name in names}
    asked = list(dict.fromkeys(files.values()))
    states = {path: found.state for path, found in zip(asked, facts_of(asked, root)) if found}
    stamps = {name: stamp(within(root, name), states[files[name]], args) for name in names if files[name] in states}
    return {name: known[name, found] for name, found in stamps.items() if (name, found) in known}


def _shard_of(root: Any, name: str) -> str | None:
    """The shard that holds a video; None if none does, or that cannot be told, as reading the video will tell."""
    if '.tar/' in name:
        with suppress(OSError, ValueError):
            return shard_of_name(str(within(root, name)))
    return None


def _file_of(root: Any, name: str) -> Any:
    return location(_shard_of(root, name) or within(root, name))


def results(names: list[str], root: Any, args: argparse.Namespace) -> Generator[tuple[str, str, str], None, None]:
    """Check videos, and draw a progress bar: names with what :meth:`Check.prepare` returns, as they come."""
    with closing(run(Check(root, args), names, args)) as found:
        for result in track(found, 'checking', len(names), disable=not sys.stdout.isatty()):
            yield names[result.place], *(result.value or (result.reason, ''))


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

    def prepare(self, video: str) -> tuple[str, str]:
        """Check a video; return why it is bad, empty for a good one, and the state of the file for which that holds,
        empty where it is not the file's fault."""
        state = ''
        try:
            with blamed_on(video):
                path = within(self.root, video)
                state = _state(str(_file_of(self.root, video)))
                check(path, self.decoder, self.full, self.limits)
        except BrokenVideoError as error:
            is_of_file = state and not error.is_of_access and _can_be_read(path)
            return error.reason, state if is_of_file else ''
        return '', state


@lru_cache(maxsize=8)  # of the shard that neighbours lie in; an older state than that which is read is found out
def _state(file: str) -> str:
    """The state of a file; of a local one that cannot be told, reading it will tell why.

    Raises:
        BrokenVideoError: If it cannot be told.
    """
    path = location(file)
    try:
        return fact_of(path).state
    except OSError as error:
        if is_address(path):
            raise BrokenVideoError(file, without_name(file, error)) from error
        return ''


def _can_be_read(path: Any) -> bool:
    """Whether the disk gives all bytes of a file, which decoders take for its end where it does not."""
    if is_address(path) or not path.is_file():
        return True
    try:
        with path.open('rb', 0) as file:
            while file.read(2**20):
                pass
    except OSError:
        return False
    return True


def stamp(path: Any, state: str, args: argparse.Namespace) -> str:
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
