"""Write files atomically, and check beforehand that they can be written."""

import errno
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

#: How the names of files end that are being written
PART = '.part'


def check_target(path: Path, named: str, inputs: Iterable[Path] = (), is_folder: bool = False) -> None:
    """Check that a file can be written, without leaving anything behind.

    Args:
        path (Path): The file.
        named (str): What the user calls it, e.g. ``--json``.
        inputs (Iterable[Path]): What is read, and must not be written over. Defaults to ``()``.
        is_folder (bool): Whether it is a folder, which is made if there is none. Defaults to False.

    Raises:
        OSError: If it cannot, with the remedy.
        ValueError: If it is one of the inputs.
    """
    target = path.resolve()
    if target in (read.resolve() for read in inputs):
        raise ValueError(f'{named} is {path}, which is read and would be written over; choose another')
    if target.exists() and target.is_dir() != is_folder:
        found, expected = ('a file', 'a folder') if is_folder else ('a folder', 'a file')
        raise OSError(f'{named} is {path}, which is {found}, expected the name of {expected}')
    if not target.parent.is_dir():
        raise FileNotFoundError(f'{named} is {path}, but there is no folder {path.parent}; make it or correct the path')
    try:
        if not target.exists():
            tempfile.TemporaryFile(dir=target.parent).close()
        elif not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OSError(f'{named} is {path}, which cannot be written: {error.strerror}; choose another') from None


def check_folder(path: Path, named: str) -> None:
    """Check that a folder is writable or can be made, without making it.

    Args:
        path (Path): The folder.
        named (str): What the user calls it, e.g. ``--out``.

    Raises:
        OSError: If it cannot, with the remedy.
    """
    target = path.resolve()
    nearest = next(folder for folder in (target, *target.parents) if folder.exists())
    if not nearest.is_dir():
        what = 'which is a file' if nearest == target else f'but {nearest} is a file'
        raise NotADirectoryError(f'{named} is {path}, {what}, expected the name of a folder; choose another')
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise OSError(f'{named} is {path}, which cannot be written: {error.strerror}; choose another') from None


@contextmanager
def written_whole(path: Path, synced: bool = True) -> Iterator[Path]:
    """Write to a temporary file and rename it when it is on the disk; remove it after an error.

    Args:
        path (Path): The file; one of that name is replaced whole.
        synced (bool): Whether that holds also where the machine loses its power, which takes the disk's time. Defaults
            to True.

    Yields:
        Path: Where to write it, in the same folder; no other process writes there.
    """
    part = path.with_name(f'{path.name}.{uuid.uuid4().hex[:8]}{PART}')
    try:
        yield part
        if synced:
            commit(part, path)
        else:
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole; names of files in it, which are bytes, stay as they are."""
    with written_whole(path) as part:
        part.write_text(text, encoding='utf-8', errors='surrogateescape')


@contextmanager
def opened(part: Path, mode: str) -> Iterator[IO]:
    """Open a file that processes forked meanwhile close: they would keep its disk space when it is removed."""
    with part.open(mode) as file:
        _OPENED.add(file.fileno())
        try:
            yield file
        finally:
            _OPENED.discard(file.fileno())


_OPENED: set[int] = set()


def _close_opened() -> None:
    while _OPENED:
        os.close(_OPENED.pop())


if hasattr(os, 'register_at_fork'):  # Windows does not fork
    os.register_at_fork(after_in_child=_close_opened)


def commit(part: Path, path: Path) -> None:
    """Sync a temporary file to the disk and rename it to its final name."""
    with opened(part, 'rb+') as file:
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    with suppress(OSError):  # some network file systems cannot
        os.fsync(folder)
    os.close(folder)
