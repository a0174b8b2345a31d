"""Keep files of addresses on the local disk, up to a size: what was used longest ago is removed first.

fsspec's caches keep whole files without a bound, or forget blocks with the process, so the bound is ours.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from filelock import FileLock, Timeout

from .files import PART
from .text import without_secrets

if TYPE_CHECKING:
    from .remote_path import RemotePath

#: Folder of the cache, and its bytes, with K, M, G or T behind them; without a folder there is none
FOLDER, SIZE = 'MMTSF_CACHE', 'MMTSF_CACHE_SIZE'
DEFAULT_SIZE = '50G'
UNITS = {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}
#: The cache is looked through when a process has added such a part of it
PART_OF_SIZE = 64

_added: dict[Path, int] = {}


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
        OSError: If the address cannot be read, or changes meanwhile.
    """
    found = settings()
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
    name = hashlib.sha256(f'{path}\n{version}'.encode('utf-8', 'surrogateescape')).hexdigest()
    file = folder / name[:2] / name
    try:
        os.utime(file)  # used now
        return file.open('rb')
    except FileNotFoundError:
        pass
    file.parent.mkdir(parents=True, exist_ok=True)
    make_room(folder, most, size)
    part = file.with_name(f'{name}.{uuid.uuid4().hex[:8]}{PART}')
    try:
        fetch(part)
        if part.stat().st_size != size or path.version() != version:
            raise OSError(f'{without_secrets(str(path))} has changed while it was read; read it again')
        opened = part.open('rb')
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return opened


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
                file.unlink(missing_ok=True)
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
