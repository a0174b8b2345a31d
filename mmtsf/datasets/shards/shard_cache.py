"""Compare shards with their index, and keep copies of those at addresses in the cache of what is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from filelock import FileLock

from mmtsf.utils.files import checksum

from .shard_index import REMEDY, Shard, ShardError

if TYPE_CHECKING:
    from mmtsf.utils.remote_path import RemotePath


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
        CacheError: If the cache cannot be written.
        OSError: If it cannot be fetched.
        ShardError: If it does not fit its index.
    """
    from mmtsf.utils.remote_cache import keep, of_cache, open_kept, ready

    found = ready()
    if found is None or shard.size > found[1]:
        return None
    folder, most = found
    copy = _copy_of(folder, shard)
    if (opened := open_kept(folder, copy, shard.size)) is not None:
        return opened
    lock = FileLock(folder / 'locks' / shard.sha256)
    with of_cache(folder):
        (folder / 'locks').mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        opened = open_kept(folder, copy, shard.size)
        return opened or keep(folder, most, copy, shard.size, lambda part: fetch(path, shard, part))
    finally:
        lock.release()


def drop_copy(shard: Shard) -> bool:
    """Drop the copy of a shard in the cache if the disk has damaged it; return whether it was."""
    from mmtsf.utils.remote_cache import drop, of_cache, ready

    found = ready()
    if found is None or not (copy := _copy_of(found[0], shard)).is_file() or shard.sha256 in _whole:
        return False
    with of_cache(found[0]):
        if checksum(copy) == shard.sha256:
            _whole.add(shard.sha256)  # so that each broken video does not read all of it
            return False
        drop(copy)
    return True


#: Checksums of copies that this process has found whole
_whole: set[str] = set()


def _copy_of(folder: Path, shard: Shard) -> Path:
    return folder / shard.sha256[:2] / shard.sha256


def fetch(path: RemotePath, shard: Shard, part: Path) -> None:
    """Fetch a shard, and compare it with its index.

    Raises:
        OSError: If it cannot be read or written.
        ShardError: If it does not fit its index.
    """
    from mmtsf.utils.remote_calls import attempt

    attempt(path, path.fs.get_file, path.path, str(part))
    check_shard(part, shard, str(path))


def open_shard(path: Path) -> BinaryIO:
    """Open a local shard, and nothing that has no end, as a pipe.

    Raises:
        OSError: If it is not there, or no regular file.
    """
    if path.exists() and not path.is_file():
        raise OSError(f'{path} is no regular file')
    return path.open('rb')


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
