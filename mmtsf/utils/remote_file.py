"""Read a file at an address by ranges, each of its bytes once."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from fsspec.asyn import sync

from .locations import OF_WEB
from .remote_cache import open_cached
from .remote_calls import ChangedError, NoRangesError, attempt, clear
from .remote_path import RemotePath

#: Bytes of a request. A file that is smaller is fetched by one; of a larger one the time goes into the bytes, not into
#: requests, see docs/guides/storage.md
BLOCK = 2**23
#: Bytes that are kept in memory; those of larger files lie in a temporary one
IN_MEMORY = 2**25
#: Part of what was asked for that a server must send at least: some send no more than so much at a time
LEAST_PART = 128


class Answer(NamedTuple):
    """What a server answers to the question for a range.

    Attributes:
        data (bytes): The bytes from its beginning on, perhaps not all.
        total (int): Bytes of the whole file.
        version (str, optional): What changes when the file does; None if the server tells nothing of the kind.
    """

    data: bytes
    total: int
    version: str | None


class RemoteFile:
    """The bytes of a file at an address, fetched when they are first read, and kept as long as this object.

    A file of up to a block takes one request. Of a larger one, whose blocks are fetched as they are read, all must be
    of the version of the first. A server without ranges is asked for all at once. With a cache (:mod:`.remote_cache`)
    a file is fetched whole, and read from the disk as long as its version stays.

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
        self._blocks: set[int] = set()
        self._first: Answer | None = None
        cached = open_cached(path, self._fetch_to, check_size)
        if cached is not None:
            self._keep(cached)
            return
        self.size = BLOCK  # as far as is known
        self._fetch(0)
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
        """Fetch a block; of a server that sends less than that at a time, piece by piece."""
        start = block * BLOCK
        while start < (end := min((block + 1) * BLOCK, self.size)):
            version = self._first and self._first.version
            try:
                found = self._tried(_range, self.path, start, end - start, version)
            except NoRangesError:
                self._fetch_all()
                return
            self._check(found)
            self._kept.seek(start)
            self._kept.write(found.data)
            start += len(found.data)
        self._blocks.add(block)

    def _check(self, found: Answer) -> None:
        """Compare an answer with the first one, which tells the size.

        Raises:
            OSError: If the file was changed in between.
        """
        if self._first is None:
            self._first = found
            self.size = found.total
            self.check_size(self.size)
            if self.size > IN_MEMORY:
                self._kept.rollover()
        elif found[1:] != self._first[1:]:
            raise ChangedError(self.path)

    def _fetch_all(self) -> None:
        """Fetch the whole file, of a server that knows no ranges.

        Raises:
            OSError: If what was fetched before is no part of it.
        """
        before, blocks = self._kept, sorted(self._blocks)
        with tempfile.NamedTemporaryFile() as file:
            self._fetch_to(Path(file.name))
            self._keep(Path(file.name).open('rb'))  # noqa: SIM115  # which keeps it when its name is gone
        for block in blocks:
            both = [(kept.seek(block * BLOCK), kept.read(BLOCK))[1] for kept in (before, self._kept)]
            if both[0] != both[1] or self._first is None or self._first.total != self.size:
                raise ChangedError(self.path)

    def _keep(self, file: BinaryIO) -> None:
        """Read from a local file with all bytes from now on."""
        self._kept = file
        self.size = file.seek(0, io.SEEK_END)
        self._blocks = set(range(self.size // BLOCK + 1))

    def _fetch_to(self, file: Path) -> None:
        def check(count: int) -> None:
            self.check_size(count)
            self.check_time()

        self.check_time()
        fetch(self.path, file, check)


def fetch(path: RemotePath, file: Path, check: Callable[[int], None] = lambda count: None) -> None:
    """Write all bytes of an address to a local file.

    Args:
        path (RemotePath): The address.
        file (Path): The file.
        check (Callable): Called with the number of bytes that were fetched, again and again; ends it by raising.
            Defaults to nothing.

    Raises:
        OSError: If it cannot be read, or is changed meanwhile.
    """
    if path.protocol in OF_WEB:
        attempt(path, lambda: sync(path.fs.loop, _web_whole, path.fs, path.path, file, check))
        return
    from fsspec.callbacks import Callback

    class Checked(Callback):
        def relative_update(self, inc: int = 1) -> None:
            super().relative_update(inc)
            check(self.value)

    before = path.version()  # the libraries fetch large files by several requests
    attempt(path, lambda: path.fs.get_file(path.path, str(file), callback=Checked()))
    if path.version() != before:
        raise ChangedError(path)


def _range(path: RemotePath, start: int, count: int, version: str | None) -> Answer:
    """Ask for up to ``count`` bytes from ``start`` on, of a version if one is known.

    Raises:
        NoRangesError: If the server knows no ranges.
        OSError: If they do not come, or are of another version.
    """
    if path.protocol in OF_WEB:
        found = sync(path.fs.loop, _web_range, path.fs, path.path, start, count, version)
    else:
        ask = _s3_range if path.protocol in ('s3', 's3a') else _other_range
        try:
            found = ask(path, start, count, version)
        except Exception as error:
            if start or not _is_empty(path, error):
                raise
            return Answer(b'', 0, None)
    left = min(count, found.total - start)
    if len(found.data) > left:
        raise OSError(f'the server sends {len(found.data)} bytes, and {left} were expected')
    if len(found.data) < left and len(found.data) < count / LEAST_PART:
        raise ConnectionError(f'{len(found.data)} bytes came instead of {left}')
    return found


def _is_empty(path: RemotePath, error: Exception) -> bool:
    """Whether a range was refused because the file holds no byte."""
    told = clear(error, path)
    return type(told) is OSError and path.fs.info(path.path)['size'] == 0


def _total(content_range: str, start: int, count: int) -> int | None:
    """Bytes of the whole file, as a server tells them of a part of it; None if it does not.

    Raises:
        OSError: If it is another part than was sent or asked for.
    """
    found = re.fullmatch(r'bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)', content_range.strip())
    if not found:
        return None
    if (int(found[1]), int(found[2]) - int(found[1]) + 1) != (start, count):
        raise OSError(f'the server says {content_range[:80]!r} of {count} bytes from {start} on')
    return None if found[3] == '*' else int(found[3])


async def _web_range(fs: Any, url: str, start: int, count: int, version: str | None) -> Answer:
    """The range of a file on the web; its version is a strong ETag, or else when it was changed."""
    headers = {**fs.kwargs.get('headers', {}), 'Range': f'bytes={start}-{start + count - 1}'}
    if version and version.startswith('"'):
        headers.update({'If-Match': version, 'If-Range': version})  # of which servers know one or both
    session = await fs.set_session()
    async with session.get(fs.encode_url(url), **{**fs.kwargs, 'headers': headers}) as answer:
        tag = answer.headers.get('ETag', '')
        found = tag if tag.startswith('"') else answer.headers.get('Last-Modified')  # a weak one tells less
        is_packed = answer.headers.get('Content-Encoding', 'identity') not in ('', 'identity')
        if answer.status == 206 and not is_packed:
            data = await answer.read()
            if (total := _total(answer.headers.get('Content-Range', ''), start, len(data))) is not None:
                return Answer(data, total, found)
        if answer.status in (206, 416):  # of an empty file; of another one a plain request tells more
            raise NoRangesError('the server gives no ranges of files')
        answer.raise_for_status()
        data = b''
        while len(data) <= count and (piece := await answer.content.read(2**20)):
            data += piece
        if start or len(data) > count:
            raise NoRangesError('the server gives no ranges of files')
        return Answer(data, len(data), found)


async def _web_whole(fs: Any, url: str, file: Path, check: Callable[[int], None]) -> None:
    """Write a file of the web to a local one, by one request."""
    session, count = await fs.set_session(), 0
    async with session.get(fs.encode_url(url), **fs.kwargs) as answer:
        answer.raise_for_status()
        if answer.status not in (200, 203):
            raise OSError(f'the server answers {answer.status} instead of 200, and so does not send the whole file')
        with file.open('wb') as target:
            while piece := await answer.content.read(2**20):
                target.write(piece)
                count += len(piece)
                check(count)


def _s3_range(path: RemotePath, start: int, count: int, version: str | None) -> Answer:
    """The range of an object of S3."""
    bucket, key, _ = path.fs.split_path(path.path)
    more = dict(IfMatch=version) if version else {}
    answer = path.fs.call_s3('get_object', Bucket=bucket, Key=key, Range=f'bytes={start}-{start + count - 1}', **more)
    body, length = answer['Body'], answer.get('ContentLength')
    try:
        if length is None or length > count:  # not only what was asked for
            raise NoRangesError('the server gives no ranges of files')
        data = sync(path.fs.loop, body.read)
    finally:
        body.close()
    total = _total(answer.get('ContentRange') or f'bytes 0-{length - 1}/{length}', start, len(data))
    if total is None:
        raise NoRangesError('the server gives no ranges of files')
    return Answer(data, total, answer.get('ETag'))


def _other_range(path: RemotePath, start: int, count: int, version: str | None) -> Answer:
    """The range of a file in other storage, whose libraries tell no version of what they read: of a file of more than
    a block it is asked for before and after."""
    if version is None:
        data = path.fs.cat_file(path.path, start=start, end=start + count)
        if len(data) < count:
            return Answer(data, len(data), None)
        version = path.version()
    data = path.fs.cat_file(path.path, start=start, end=start + count)
    if path.version() != version:
        raise ChangedError(path)
    size = version.rpartition('-')[2]
    if not size.isdecimal():
        raise NoRangesError('the server gives no ranges of files')
    return Answer(data, int(size), version)


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
