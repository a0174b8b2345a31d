"""Keep files of addresses on the local disk, up to a size: what was used longest ago is removed first.

fsspec's caches keep whole files without a bound, or forget blocks with the process, so the bound is ours.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from filelock import FileLock, Timeout

from .files import OF_FULL_DISKS, PART
from .locations import location
from .text import without_secrets

if TYPE_CHECKING:
    from .remote_path import RemotePath

#: Folder of the cache, and its bytes, with K, M, G or T behind them; without a folder there is none
FOLDER, SIZE = 'MMTSF_CACHE', 'MMTSF_CACHE_SIZE'
DEFAULT_SIZE = '50G'
UNITS = {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}
#: The cache is looked through when a process has added such a part of it
PART_OF_SIZE = 64

#: Of this process: bytes that it has added, folders that it has written to, and files that it has dropped as damaged
_added: dict[Path, int] = {}
_tried: set[Path] = set()
_dropped: set[Path] = set()


class CacheError(RuntimeError):
    """The cache cannot be written or read, which is no fault of what was to be kept in it."""


@contextmanager
def of_cache(folder: Path) -> Iterator[None]:
    """Say of what the disk refuses inside that the cache is at fault.

    Raises:
        CacheError: In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise CacheError(
            f'{FOLDER} is {folder}, which cannot be used: {error.strerror or error}; make room there, choose another '
            f'folder, or unset {FOLDER}'
        ) from error


def settings() -> tuple[Path, int] | None:
    """Return folder and size of the cache, as the environment asks for it; None if it asks for none.

    Raises:
        ValueError: If it asks for something else.
    """
    folder, size = os.environ.get(FOLDER), os.environ.get(SIZE)
    if not folder:
        if size:
            raise ValueError(
                f'{SIZE} is {size!r}, but {FOLDER}, the folder of the cache, is not set; set both, or none'
            )
        return None
    found = re.fullmatch(r'([0-9]{1,15})([KMGT]?)B?', (size or DEFAULT_SIZE).strip(), re.IGNORECASE)
    if not found or not int(found[1]):
        raise ValueError(f'{SIZE} is {size!r}, expected a number of bytes as 500M or 50G')
    return Path(folder), int(found[1]) * UNITS[found[2].upper()]


def ready() -> tuple[Path, int] | None:
    """Return folder and size of the cache after writing to it once in each process; None if there is none.

    Raises:
        CacheError: If it cannot be written.
        ValueError: If the environment asks for something else.
    """
    found = settings()
    if found is not None and found[0] not in _tried:
        with of_cache(found[0]):
            found[0].mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=found[0]).close()
        _tried.add(found[0])
    return found


def open_cached(path: RemotePath, fetch: Callable[[Path], None], check_size: Callable[[int], None]) -> BinaryIO | None:
    """Open the local file with the bytes that an address has now, after fetching them if they are not there.

    The server is asked for the file's version each time, so that no other one is read.

    Args:
        path (RemotePath): The address.
        fetch (Callable): Writes its bytes to a local file.
        check_size (Callable): Called with their number before; refuses the file by raising.

    Returns:
        BinaryIO | None: The file; None if there is no cache, or it cannot hold the file, or the server tells neither
        version nor size.

    Raises:
        CacheError: If the cache cannot be written.
        OSError: If the address cannot be read, or changes meanwhile.
    """
    found = ready()
    if found is None:
        return None
    folder, most = found
    version = path.version()
    size = int(version.rpartition('-')[2]) if re.fullmatch('.+-[0-9]+', version) else None
    if version == '0':
        raise FileNotFoundError(f'{without_secrets(str(path))} does not exist; correct the address')
    if size is None or size > most:
        return None
    check_size(size)
    file = _file_of(folder, path, version)
    if (opened := open_kept(folder, file, size)) is not None:
        return opened

    from .remote_calls import ChangedError

    def fetch_version(part: Path) -> None:
        fetch(part)
        if part.stat().st_size != size or path.version() != version:
            raise ChangedError(path)

    return keep(folder, most, file, size, fetch_version)


def _file_of(folder: Path, path: RemotePath, version: str) -> Path:
    name = hashlib.sha256(f'{path}\n{version}'.encode('utf-8', 'surrogateescape')).hexdigest()
    return folder / name[:2] / name


def open_kept(folder: Path, file: Path, size: int) -> BinaryIO | None:
    """Open a file of the cache; None if it is not there. One of another size, which a disk has damaged, is dropped.

    Raises:
        CacheError: If it cannot be read.
    """
    with of_cache(folder), suppress(FileNotFoundError):
        os.utime(file)  # used now
        if file.is_file() and file.stat().st_size == size:
            return file.open('rb')
        drop(file)
    return None


def drop(file: Path) -> None:
    """Remove what has the name of a file of the cache."""
    if file.is_dir():
        shutil.rmtree(file, ignore_errors=True)
    else:
        file.unlink(missing_ok=True)


def keep(folder: Path, most: int, file: Path, size: int, fetch: Callable[[Path], None]) -> BinaryIO:
    """Fetch a file of so many bytes into the cache, and open it.

    Args:
        folder (Path): The cache.
        most (int): Bytes that it holds.
        file (Path): What the file will be called.
        size (int): Its bytes.
        fetch (Callable): Writes a local file, and raises if it is not the one that was asked for.

    Raises:
        CacheError: If it cannot be written.
    """
    part = file.with_name(f'{file.name}.{uuid.uuid4().hex[:8]}{PART}')
    with of_cache(folder):
        file.parent.mkdir(parents=True, exist_ok=True)
        make_room(folder, most, size)
        part.touch()
    try:
        try:
            fetch(part)
        except OSError as error:
            if (fault := _of_disk(error)) is None:
                raise
            with of_cache(folder):
                raise fault from error
        with of_cache(folder):
            opened = part.open('rb')
            part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return opened


def _of_disk(error: BaseException | None) -> OSError | None:
    """What a full disk has said, for which a library may have raised another error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in OF_FULL_DISKS:
            return error
        error = error.__cause__ or error.__context__
    return None


def drop_damaged(address: str | RemotePath) -> bool:
    """Drop what is kept of an address whose bytes turned out to be none of its kind; once in each process, as those of
    the server may be damaged, too. Return whether there is something new to be read."""
    found = ready()
    if found is None:
        return False
    path: Any = location(address)
    file = _file_of(found[0], path, path.version())
    if file in _dropped or not file.exists():
        return False
    _dropped.add(file)
    with of_cache(found[0]):
        drop(file)
    return True


def make_room(folder: Path, most: int, size: int) -> None:
    """Remove what was used longest ago, so that so many bytes can be added; one process at a time looks through the
    cache, and not before there is something to be gained."""
    if folder in _added and _added[folder] + size < most / PART_OF_SIZE:
        _added[folder] += size
        return
    try:
        with FileLock(folder / '.lock', timeout=0 if folder in _added else 10):
            files = sorted(_files(folder), key=lambda found: found[1])
            total = sum(count for _, _, count in files) + size
            for file, _, count in files:
                if total <= most:
                    break
                drop(file)
                total -= count
    except Timeout:  # another process does it
        pass
    _added[folder] = 0


def _files(folder: Path) -> Iterator[tuple[Path, float, int]]:
    """Files of the cache, when each was used last, and its bytes; other processes may remove some meanwhile."""
    for file in folder.glob('??/*'):
        with suppress(FileNotFoundError):
            found = file.stat()
            yield file, found.st_mtime, found.st_size
