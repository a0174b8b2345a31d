"""Write files atomically, here or at an address, and check beforehand that they can be written."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .locations import OF_WEB, entries, is_address, scheme_of

if TYPE_CHECKING:
    from .remote_path import RemotePath

#: How the names of files end that are being written
PART = '.part'
#: File that is locked in a folder that a command writes to
LOCK = '.lock'
#: What a disk says that takes no more
OF_FULL_DISKS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


def check_target(
    path: Path | RemotePath, named: str, inputs: Iterable[Path | RemotePath] = (), is_folder: bool = False
) -> None:
    """Check that a file can be written, without leaving anything behind.

    Args:
        path (Path | RemotePath): The file, here or at an address.
        named (str): What the user calls it, e.g. ``--json``.
        inputs (Iterable[Path | RemotePath]): What is read, and must not be written over. Defaults to ``()``.
        is_folder (bool): Whether it is a folder, which is made if there is none. Defaults to False.

    Raises:
        OSError: If it cannot, with the remedy.
        ValueError: If it is one of the inputs.
    """
    target = path.resolve()
    if target in (read.resolve() for read in inputs):
        raise ValueError(f'{named} is {path}, which is read and would be written over; choose another')
    if not isinstance(target, Path):
        _check_address(target, named, is_folder)
        return
    _refuse_address(path, named)
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


def _check_address(path: RemotePath, named: str, is_folder: bool) -> None:
    """Put an empty object and remove it: rights and the bucket are known within a second."""
    from .remote_calls import attempt, few_attempts

    if scheme_of(str(path)) in OF_WEB:
        raise OSError(f'{named} is {path}, and nothing is written by http; give s3://, gs://, az://, hf:// or a path')
    probe = (path if is_folder else path.parent) / f'{uuid.uuid4().hex[:8]}{PART}'
    try:
        with few_attempts():
            if not is_folder and _is_folder(path):
                raise IsADirectoryError(f'{named} is {path}, which is a folder, expected the name of a file')
            attempt(path, path.fs.pipe_file, probe.path, b'')
    except FileNotFoundError:
        raise FileNotFoundError(
            f'{named} is {path}, but there is no such bucket; make it or correct the address'
        ) from None
    except (OSError, ValueError) as error:
        told = str(error) if str(error).startswith(named) else f'{named} cannot be written: {error}'
        raise type(error)(told) from None
    with suppress(OSError), few_attempts():  # who may write but not remove leaves an empty object
        probe.unlink()


def _refuse_address(path: Path | RemotePath, named: str) -> None:
    """Refuse a local path that was an address, where a command takes none."""
    found = re.match(r'([a-z][a-z0-9+.-]+):/(?=[^/])', str(path), re.IGNORECASE)
    if found and is_address(address := f'{found[1]}://{str(path)[found.end() :]}'):
        raise ValueError(f'{named} is {address}, an address; it must be a local path')


def _is_folder(path: RemotePath) -> bool:
    """Return whether keys begin with an address, as far as they may be listed."""
    with suppress(PermissionError):
        return path.is_dir()
    return False


def make_folder(path: Path | RemotePath) -> None:
    """Make a folder and those that it lies in; at an address there is nothing to make."""
    if isinstance(path, Path):
        path.mkdir(parents=True, exist_ok=True)


def check_folder(path: Path | RemotePath, named: str) -> None:
    """Check that a folder is writable or can be made, without making it.

    Args:
        path (Path | RemotePath): The folder, here or at an address.
        named (str): What the user calls it, e.g. ``--out``.

    Raises:
        OSError: If it cannot, with the remedy.
    """
    if not isinstance(path, Path):
        _check_address(path, named, is_folder=True)
        return
    _refuse_address(path, named)
    target = path.resolve()
    nearest = next(folder for folder in (target, *target.parents) if folder.exists())
    if not nearest.is_dir():
        what = 'which is a file' if nearest == target else f'but {nearest} is a file'
        raise NotADirectoryError(f'{named} is {path}, {what}, expected the name of a folder; choose another')
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise OSError(f'{named} is {path}, which cannot be written: {error.strerror}; choose another') from None


def check_empty(folder: Path | RemotePath, named: str = 'the target') -> None:
    """Check that a folder holds nothing, or is not there.

    Raises:
        FileExistsError: If it does: what is written would be mixed with that.
    """
    if found := next((entry.name for entry in entries(folder) if not entry.name.endswith(PART)), None):
        raise FileExistsError(
            f'{named} is {folder}, which holds {found}; choose another folder, or remove what it holds'
        )


@contextmanager
def written_whole(path: Path | RemotePath, synced: bool = True) -> Iterator[Path]:
    """Write to a temporary file and rename it when it is on the disk, or put it at its address; remove it after an
    error.

    Args:
        path (Path | RemotePath): The file; one of that name is replaced whole.
        synced (bool): Whether that holds also where the machine loses its power, which takes the disk's time. Defaults
            to True.

    Yields:
        Path: Where to write it, in the same folder, or of an address in a temporary one; no other process writes there.
            Its name begins with a dot: what reads a folder of files leaves it out.
    """
    if not isinstance(path, Path):
        with tempfile.TemporaryDirectory() as folder:
            yield (part := Path(folder, path.name))
            upload(part, path)
        return
    part = path.with_name(f'.{path.name}.{uuid.uuid4().hex[:8]}{PART}')
    try:
        yield part
        if synced:
            commit(part, path)
        else:
            part.replace(path)
    except OSError as error:
        if error.errno in OF_FULL_DISKS and error.filename is None:  # writing does not tell of which file
            error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


def upload(file: Path, path: RemotePath) -> None:
    """Put a file at an address, where it is whole or not at all; object stores have no half ones.

    Raises:
        OSError: If it cannot be put there, also after several tries.
    """
    from .remote_calls import attempt

    attempt(path, path.fs.put_file, str(file), path.path)


def download(path: Path | RemotePath, file: Path) -> None:
    """Fetch a file from an address, or copy a local one; it is whole or not there.

    Raises:
        OSError: If it cannot be fetched, also after several tries.
    """
    with written_whole(file, synced=False) as part:
        if isinstance(path, Path):
            shutil.copyfile(path, part)
            return
        from .remote_file import fetch

        fetch(path, part)


def is_inner(name: str) -> bool:
    """Return whether the rest of a key, which may be any text, names a file below a folder."""
    return '\\' not in name and not {'', '.', '..'} & set(name.split('/'))


@contextmanager
def folder_here(path: Path | RemotePath, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Give a local folder as it is, and of one at an address a copy of the files that end so, which is removed then.

    Args:
        path (Path | RemotePath): The folder.
        suffixes (tuple[str, ...]): How the files end that are copied.
    """
    if isinstance(path, Path):
        yield path
        return
    names = path.keys_below()
    with tempfile.TemporaryDirectory() as above:
        folder = Path(above, path.name or 'folder')
        for name in names:
            if name.endswith(suffixes) and is_inner(name):
                make_folder((folder / name).parent)
                download(path.joinpath(name), folder / name)
        yield folder


@contextmanager
def files_here(paths: Iterable[Path | RemotePath]) -> Iterator[list[Path]]:
    """Give local files as they are, and of those at addresses copies of the same names, which are removed then."""
    with tempfile.TemporaryDirectory() as above:
        here: list[Path] = []
        for number, path in enumerate(paths):
            if isinstance(path, Path):
                here.append(path)
                continue
            (folder := Path(above, str(number))).mkdir()
            download(path, folder / path.name)
            here.append(folder / path.name)
        yield here


@contextmanager
def folder_there(path: Path | RemotePath) -> Iterator[Path]:
    """Give a local folder to write to as it is, and for one at an address a temporary one, whose files are put there in
    the end, unless the work inside fails.

    Args:
        path (Path | RemotePath): The folder.
    """
    if isinstance(path, Path):
        yield path
        return
    with tempfile.TemporaryDirectory() as above:
        yield (folder := Path(above))
        for file in sorted(folder.rglob('*')):
            if file.is_file():
                upload(file, path.joinpath(file.relative_to(folder).as_posix()))


@contextmanager
def alone_in(folder: Path | RemotePath) -> Iterator[None]:
    """Keep other commands out of a folder that is written to; where that can be told, which is not at an address.

    Raises:
        OSError: If another one is in it.
    """
    if not isinstance(folder, Path):
        yield
        return
    from filelock import FileLock, Timeout

    make_folder(folder)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OSError(f'another command writes to {folder}; wait for its end, or give another folder') from None
    except (NotImplementedError, OSError):  # a file system without locks
        yield
        return
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()


def write_text(path: Path | RemotePath, text: str) -> None:
    """Write a text file whole; names of files in it, which are bytes, stay as they are."""
    with written_whole(path) as part:
        part.write_text(text, encoding='utf-8', errors='surrogateescape')


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


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


def give_usual_rights(path: Path) -> None:
    """Give a file or folder the rights that the umask leaves: safetensors and tempfile leave the user's alone."""
    os.umask(mask := os.umask(0))
    path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


def commit(part: Path, path: Path) -> None:
    """Sync a temporary file to the disk and rename it to its final name."""
    with opened(part, 'rb+') as file:
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    with suppress(OSError):  # some network file systems cannot
        os.fsync(folder)
    os.close(folder)
