"""Compare shards with their index, and keep copies of those at addresses in the cache of what is fetched."""

from __future__ import annotations

import hashlib
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from filelock import FileLock

from mmtsf.utils.files import PART

from .shard_index import REMEDY, Shard, ShardError

if TYPE_CHECKING:
    from mmtsf.utils.remote_path import RemotePath

#: Bytes that are read at once
BLOCK = 2**20


def open_copy(path: RemotePath, shard: Shard) -> BinaryIO | None:
    """Open the copy of a shard in the cache (:mod:`mmtsf.utils.remote_cache`), where its checksum is its name.

    It is fetched by one process of the machine, from its beginning to its end, while others that want it wait. No
    server is asked of one that is there.

    Args:
        path (RemotePath): The shard.
        shard (Shard): What the index says of it.

    Returns:
        BinaryIO | None: The file; None if there is no cache, or it cannot hold the shard.

    Raises:
        OSError: If it cannot be fetched, or the folder cannot be written.
        ShardError: If it does not fit its index.
    """
    from mmtsf.utils.remote_cache import make_room, settings

    found = settings()
    if found is None or shard.size > found[1]:
        return None
    folder, most = found
    copy = folder / shard.sha256[:2] / shard.sha256
    (folder / 'locks').mkdir(parents=True, exist_ok=True)
    while True:
        with suppress(FileNotFoundError):
            os.utime(copy)  # used now
            return copy.open('rb')
        with FileLock(folder / 'locks' / shard.sha256):
            if not copy.exists():
                make_room(folder, most, shard.size)
                fetch(path, shard, copy)


def fetch(path: RemotePath, shard: Shard, copy: Path) -> None:
    """Fetch a shard, and give it its name when it is whole and the one that the index tells.

    Raises:
        OSError: If it cannot be read or written.
        ShardError: If it does not fit its index.
    """
    from mmtsf.utils.remote_path import attempt

    copy.parent.mkdir(parents=True, exist_ok=True)
    part = copy.with_name(f'{copy.name}.{uuid.uuid4().hex[:8]}{PART}')
    try:
        attempt(path, path.fs.get_file, path.path, str(part))
        check_shard(part, shard, str(path))
        part.replace(copy)
    finally:
        part.unlink(missing_ok=True)


def check_shard(file: Path, shard: Shard, named: str) -> None:
    """Compare all bytes of a local file with what the index says of a shard.

    Raises:
        OSError: If it cannot be read.
        ShardError: If they are others, by the name that is given.
    """
    digest = checksum(file)
    if (file.stat().st_size, digest) != (shard.size, shard.sha256):
        raise ShardError(
            f'{named} has {file.stat().st_size} bytes with the checksum {digest[:12]}, and its index says {shard.size} '
            f'with {shard.sha256[:12]}; copy it again, or {REMEDY}'
        )


def checksum(file: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with file.open('rb') as data:
        while block := data.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
