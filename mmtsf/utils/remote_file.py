"""Read a file at an address by ranges, each of its bytes once."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from .locations import OF_WEB
from .remote_cache import open_cached
from .remote_path import RemotePath, attempt, clear
from .text import without_secrets

#: Bytes of a request. A file that is smaller is fetched by one; of a larger one the time goes into the bytes, not into
#: requests, see docs/guides/storage.md
BLOCK = 2**23
#: Bytes that are kept in memory; those of larger files lie in a temporary one
IN_MEMORY = 2**25


class RemoteFile:
    """The bytes of a file at an address, fetched when they are first read, and kept as long as this object.

    A file of up to a block takes one request. Of a larger one, whose blocks are fetched as they are read, all must be
    of the same version. A server without ranges is asked for all at once. With a cache (:mod:`.remote_cache`) a file is
    fetched whole, and read from the disk as long as its version stays.

    Args:
        path (RemotePath): Its address.
        check_size (Callable): Called with the number of bytes before more than a block is fetched; refuses the file by
            raising. Defaults to nothing.
        check_time (Callable): Called before each request; ends the reading by raising. Defaults to nothing.

    Attributes:
        size (int): Number of bytes.

    Raises:
        OSError: If it cannot be read, see :func:`.clear`.
    """

    def __init__(
        self,
        path: RemotePath,
        check_size: Callable[[int], None] = lambda size: None,
        check_time: Callable[[], None] = lambda: None,
    ) -> None:
        self.path, self.check_size, self.check_time = path, check_size, check_time
        self._kept: Any = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._blocks: set[int] = {0}
        self._remote: Any = None
        self._tag: str | None = None
        cached = open_cached(path, self._fetch_to, check_size)
        if cached is not None:
            self._keep(cached)
            return
        first = self._tried(_first, path)
        self._kept.write(first)
        self.size = len(first)
        if self.size >= BLOCK:
            self._remote, size, self._tag = self._tried(_opened, path)
            check_size(size or 0)
            if size is None:
                self._fetch_all()
            else:
                self.size = size
                if size > IN_MEMORY:
                    self._kept.rollover()
        check_size(self.size)

    def open(self) -> BinaryIO:
        """Open it anew, at its beginning; all that are open share the bytes that were fetched."""
        return io.BufferedReader(_View(self), 2**16)  # type: ignore[arg-type, return-value]

    def read_at(self, start: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``start`` on, fewer at the end.

        Raises:
            OSError: If they cannot be fetched.
        """
        end = min(start + count, self.size)
        if start >= end:
            return b''
        for block in range(start // BLOCK, (end - 1) // BLOCK + 1):
            if block not in self._blocks:
                self._fetch(block)
        self._kept.seek(start)
        return self._kept.read(end - start)

    def _tried(self, call: Callable, *args: Any) -> Any:
        self.check_time()
        return attempt(self.path, call, *args)

    def _fetch(self, block: int) -> None:
        start = block * BLOCK
        count = min(BLOCK, self.size - start)
        try:
            found = self._tried(_range, self._remote, start, count)
        except _NoRangesError:
            self._fetch_all()
        else:
            self._kept.seek(start)
            self._kept.write(found)
            self._blocks.add(block)

    def _fetch_all(self) -> None:
        """Fetch the whole file, of a server that knows no ranges."""
        with tempfile.NamedTemporaryFile() as file:
            self._fetch_to(Path(file.name))
            self._keep(Path(file.name).open('rb'))  # noqa: SIM115  # which keeps it when its name is gone
        if self._tag and self._tag != self._tried(self.path.fs.info, self.path.path).get('ETag'):
            raise OSError(f'{without_secrets(str(self.path))} has changed while it was read; read it again')

    def _keep(self, file: BinaryIO) -> None:
        """Read from a local file with all bytes from now on."""
        self._kept = file
        self.size = file.seek(0, io.SEEK_END)
        self._blocks = set(range(self.size // BLOCK + 1))

    def _fetch_to(self, file: Path) -> None:
        """Write all bytes to a local file, by one request."""
        from fsspec.callbacks import Callback

        class Bounded(Callback):
            def relative_update(self, inc: int = 1) -> None:
                super().relative_update(inc)
                whole.check_size(self.value)
                whole.check_time()

        whole = self
        self._tried(lambda: self.path.fs.get_file(self.path.path, str(file), callback=Bounded()))


class _NoRangesError(Exception):
    """A server gives a file from its beginning alone."""


def _first(path: RemotePath) -> bytes:
    """The first block, by one request; of a smaller file all."""
    try:
        if path.protocol in OF_WEB:  # which reads no further, also where the server knows no ranges
            with path.fs.open(path.path, size=BLOCK, block_size=BLOCK, cache_type='none') as file:
                return file.read(BLOCK)
        return path.fs.cat_file(path.path, start=0, end=BLOCK)
    except Exception as error:
        if _is_empty(path, error):
            return b''
        raise


def _is_empty(path: RemotePath, error: Exception) -> bool:
    """Whether a range was refused because the file holds no byte."""
    told = clear(error, path)
    return type(told) is OSError and path.fs.info(path.path)['size'] == 0


def _opened(path: RemotePath) -> tuple[Any, int | None, str | None]:
    """A file of fsspec's that makes a request for each reading and holds to one version, its size, and on the web its
    version; None for what is not told."""
    if path.protocol not in OF_WEB:
        file = path.fs.open(path.path, cache_type='none')
        return file, file.size, None
    info = path.fs.info(path.path)
    tag = info.get('ETag', 'W/')
    tag = None if tag.startswith('W/') else tag  # a weak one tells less
    more = dict(headers={'If-Match': tag, 'If-Range': tag}) if tag else {}  # of which servers know one or both
    if not info['size'] or not info.get('partial', True):
        return None, None, tag
    return path.fs.open(path.path, size=info['size'], block_size=BLOCK, cache_type='none', **more), info['size'], tag


def _range(file: Any, start: int, count: int) -> bytes:
    """Some bytes of a file.

    Raises:
        _NoRangesError: If the server knows no ranges.
        ConnectionError: If there were fewer.
    """
    file.seek(start)
    try:
        found = file.read(count)
    except ValueError as error:
        if 'range requests' in str(error):
            raise _NoRangesError from None
        raise
    if len(found) != count:
        raise ConnectionError(f'{len(found)} bytes came instead of {count}')
    return found


class _View(io.RawIOBase):
    """A position in a :class:`RemoteFile`."""

    def __init__(self, file: RemoteFile) -> None:
        self._file, self._place = file, 0
        self.name = file.path.name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = max(offset + (0, self._place, self._file.size)[whence], 0)
        return self._place

    def readinto(self, buffer: Any) -> int:
        found = self._file.read_at(self._place, len(buffer))
        buffer[: len(found)] = found
        self._place += len(found)
        return len(found)
