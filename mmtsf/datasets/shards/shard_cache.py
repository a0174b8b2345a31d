"""Keep copies of shards on a local disk: fetched whole, once, for all processes of a machine."""

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from mmtsf.utils.locations import is_address

from .shard_index import REMEDY, Shard, ShardError

#: How the copies' names end
COPY = '.tar'
#: Bytes that are read at once
BLOCK = 2**20


class ShardCache:
    """A folder of copies of shards, called by their checksums; those that were not used for longest make room.

    Each is fetched by one process, one request and from its beginning to its end, while others that want it wait. It
    may be of several data sets, and outlives a run.

    Args:
        folder (str): The folder.
        most_bytes (int): Bytes of all copies together, beside those that are being fetched.
    """

    def __init__(self, folder: str, most_bytes: int) -> None:
        self.folder, self.most_bytes = Path(folder), most_bytes

    def open(self, path: Any, shard: Shard) -> BinaryIO:
        """Open the copy of a shard, which is fetched if it is not there.

        Args:
            path (Path): The shard, on another disk or at an address.
            shard (Shard): What the index says of it.

        Raises:
            OSError: If it cannot be fetched, or the folder cannot be written.
            ShardError: If it does not fit its index.
        """
        copy = self.folder / f'{shard.sha256}{COPY}'
        while True:
            with suppress(FileNotFoundError):
                file = copy.open('rb')
                os.utime(copy)
                return file
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(copy.with_suffix('.lock')):
                if not copy.exists():
                    self._make_room(shard.size)
                    fetch(path, shard, copy)

    def _make_room(self, size: int) -> None:
        """Remove the copies that were not used for longest; who reads one of them goes on reading."""
        with FileLock(self.folder / 'room.lock'):
            found = sorted(
                ((copy.stat(), copy) for copy in self.folder.glob(f'*{COPY}')), key=lambda item: item[0].st_mtime
            )
            total = size + sum(state.st_size for state, _ in found)
            for state, copy in found:
                if total > self.most_bytes:
                    copy.unlink(missing_ok=True)
                    total -= state.st_size


def fetch(path: Any, shard: Shard, copy: Path) -> None:
    """Copy a shard, and give it its name when it is whole and the one that the index tells.

    Raises:
        OSError: If it cannot be read or written.
        ShardError: If it does not fit its index.
    """
    part = copy.with_suffix('.part')
    try:
        if is_address(path):
            from mmtsf.utils.remote_path import attempt

            attempt(path, path.fs.get_file, path.path, str(part))
        else:
            shutil.copyfile(path, part)
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
