"""Read one video from a shard: a range of bytes of a tar file on the disk or at an address."""

import io
import os
import tarfile
from typing import Any, BinaryIO

from mmtsf.utils.locations import is_address

from .shard_cache import drop_copy, open_copy, open_shard
from .shard_index import BLOCK, REMEDY, Shard, ShardError, ShardVideo

#: Bytes of a video up to which it is read at once; parts of a larger one are read as its decoder asks for them
AT_ONCE = 2**25


class VideoInShard:
    """The bytes of a video in a shard; called, it gives a new file of them.

    Of a shard at an address they are one request, or read from its copy where there is a cache. A copy that the disk
    has damaged is fetched anew.

    Args:
        folder (Path): Folder of the shard, on the disk or at an address.
        shard (Shard): The shard, of which the list of videos is not asked for.
        video (ShardVideo): The video.

    Raises:
        OSError: If it cannot be read.
        ShardError: If the shard does not fit its index.
    """

    def __init__(self, folder: Any, shard: Shard, video: ShardVideo) -> None:
        self._path, self._shard, self._video = folder / shard.name, shard, video
        self._begin()

    def _begin(self) -> None:
        offset, size = self._video.offset, self._video.size
        self._data = self._read(offset - BLOCK, BLOCK + (size if size <= AT_ONCE else 0))
        try:
            self._check_header(self._data[:BLOCK])
        except ShardError:
            if not self.is_mended():
                raise
            self._begin()

    def is_mended(self) -> bool:
        """Return whether the bytes, which are none of a video, came from a copy that the disk had damaged, and now come
        from the address anew."""
        return is_address(self._path) and drop_copy(self._shard)

    def __call__(self) -> BinaryIO:
        """Open it anew."""
        if self._video.size <= AT_ONCE:
            return io.BytesIO(self._data[BLOCK:])
        return io.BufferedReader(_Range(self._open(), self._video.offset, self._video.size), 2**20)

    def _open(self) -> BinaryIO:
        if not is_address(self._path):
            return open_shard(self._path)
        return open_copy(self._path, self._shard) or self._path.open('rb')

    def _read(self, start: int, size: int) -> bytes:
        """Read bytes of the shard.

        Raises:
            OSError: If they cannot be read.
            ShardError: If the shard has another size than its index says, or ends before.
        """
        local = open_copy(self._path, self._shard) if is_address(self._path) else open_shard(self._path)
        if local is None:
            data = self._range(start, size)
        else:
            with local as file:
                if (found := os.fstat(file.fileno()).st_size) != self._shard.size:
                    raise ShardError(f'{self._path} has {found} bytes, and {self._shard.size} in its index; {REMEDY}')
                file.seek(start)
                data = file.read(size)
        if len(data) != size:
            raise ShardError(f'{self._path} gave {len(data)} bytes from {start} on, expected {size}; {REMEDY}')
        return data

    def _range(self, start: int, size: int) -> bytes:
        """Ask for a range.

        Raises:
            OSError: If it does not come.
            ShardError: If the server gives no ranges.
        """
        from mmtsf.utils.remote_calls import NoRangesError, attempt

        try:
            return attempt(self._path, self._path.fs.cat_file, self._path.path, start=start, end=start + size)
        except NoRangesError:
            raise ShardError(
                f'{self._path}: the server gives no ranges of files, by which the videos of shards are read; set '
                'MMTSF_CACHE to a folder for whole shards, or take another server'
            ) from None

    def _check_header(self, header: bytes) -> None:
        """Compare the header in the tar file with the index.

        Raises:
            ShardError: If it is of another file.
        """
        try:
            found = tarfile.TarInfo.frombuf(header, 'utf-8', 'surrogateescape')
        except tarfile.HeaderError as error:
            raise ShardError(f'{self._path} has no header of {self._video.member} ({error}); {REMEDY}') from None
        if (found.name, found.size, found.isreg()) != (self._video.member, self._video.size, True):
            raise ShardError(
                f'{self._path} holds {found.name!r} of {found.size} bytes where its index has {self._video.member} '
                f'of {self._video.size}; {REMEDY}'
            )


class _Range(io.RawIOBase):
    """A part of a file, as a file of its own, which closes it."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._place = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._place)
        data = self._file.read(min(len(buffer), max(self._size - self._place, 0)))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
