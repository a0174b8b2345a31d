"""Write results to files as they come, and say how many there are when the work is stopped."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import written_whole
from .signals import TOLD
from .tables import as_row

if TYPE_CHECKING:
    from .remote_path import RemotePath

#: Share of the time that is spent on writing, at most; a new version of the file waits meanwhile
SHARE = 0.05
#: Seconds between two versions at an address, at least: a store takes files as a whole, and has each of them paid
SECONDS = 10.0


@contextmanager
def growing_file(
    path: Path | RemotePath, begin: str = '', between: str = '', end: str = ''
) -> Iterator[Callable[[str], None]]:
    """Write a text that grows, with the function that the context gives.

    The file is whole at any moment, whatever ends the process: each version takes the place of the one before.

    Args:
        path (Path | RemotePath): The file; at an address a version is at most every ten seconds.
        begin (str): What it begins with. Defaults to nothing.
        between (str): What stands between two parts. Defaults to nothing.
        end (str): What it ends with. Defaults to nothing.
    """
    parts: list[str] = []
    saved, last, cost = -1, 0.0, 0.0
    pause = 0.0 if isinstance(path, Path) else SECONDS

    def save() -> None:
        nonlocal saved, last, cost
        start = time.monotonic()
        with written_whole(path, synced=False) as part:
            text = begin + between.join(parts) + end
            part.write_text(text, encoding='utf-8', newline='', errors='surrogateescape')  # names of files are bytes
        saved, last = len(parts), time.monotonic()
        cost = last - start

    def add(text: str) -> None:
        parts.append(text)
        if time.monotonic() - last > max(cost / SHARE, pause):
            save()

    save()
    try:
        yield add
    finally:
        if saved < len(parts):
            save()


@contextmanager
def kept_lines(path: Path | RemotePath) -> Iterator[Callable[[str], None]]:
    """Add lines to a text, each at once; one at an address is written anew with what it held, as :func:`growing_file`
    does."""
    how: dict[str, Any] = dict(encoding='utf-8', errors='surrogateescape')
    if isinstance(path, Path):
        with path.open('a', **how) as file:
            yield lambda line: print(line, file=file, flush=True)
        return
    with growing_file(path, begin=path.read_text(**how) if path.exists() else '') as add:
        yield lambda line: add(f'{line}\n')


@contextmanager
def growing_json(path: Path | RemotePath) -> Iterator[Callable[[Any], None]]:
    """Write a list of values as JSON while they come; one a line, without a list, where the name ends in ``.jsonl``."""
    is_lines = path.suffix == '.jsonl'
    with growing_file(path, *(('', '') if is_lines else ('[\n', ',\n', '\n]\n'))) as add:
        yield lambda value: add(json.dumps(value, ensure_ascii=False) + ('\n' if is_lines else ''))


@contextmanager
def growing_table(path: Path | RemotePath, header: Iterable[str]) -> Iterator[Callable[[Iterable[Iterable]], None]]:
    """Write rows of a csv file while they come, those of one result together, with the texts of
    :func:`mmtsf.utils.tables.new_table`."""

    def lines(rows: Iterable[Iterable]) -> str:
        text = io.StringIO(newline='')
        csv.writer(text).writerows(map(as_row, rows))
        return text.getvalue()

    with growing_file(path, begin=lines([header])) as add:
        yield lambda rows: add(lines(rows))


@contextmanager
def stoppable(total: int, things: str, remedy: str, done: int = 0) -> Iterator[Callable[[], None]]:
    """Say how many of how many things are done when Ctrl-C or SIGTERM stops the work inside.

    Args:
        total (int): How many there are.
        things (str): What they are, e.g. ``'videos'``.
        remedy (str): Where they are, or how to go on.
        done (int): How many are done already. Defaults to 0.

    Yields:
        Callable: To be called after each.
    """

    def is_done() -> None:
        nonlocal done
        done += 1

    try:
        yield is_done
    except KeyboardInterrupt:
        say_stopped(done, total, things, remedy)
        raise


def say_stopped(done: int, total: int, things: str, remedy: str) -> None:
    """Print how many of how many things are done; the interruption that is being handled is told with that."""
    if (error := sys.exc_info()[1]) is not None:
        setattr(error, TOLD, True)
    print(f'\nstopped: {done} of {total} {things} are done; {remedy}', file=sys.stderr, flush=True)
