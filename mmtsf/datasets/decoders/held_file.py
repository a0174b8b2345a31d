"""Open videos that are no local files: at an address, or a part of another file."""

import os
import shutil
import tempfile
from collections.abc import Callable
from typing import IO, Any, BinaryIO

from mmtsf.utils.locations import is_address, location

from .broken import BrokenVideoError
from .limits import Limits


class HeldFile(str):
    """The name of a video whose bytes are read through file objects; a str, as the paths of local files are.

    Attributes:
        file (Callable): Returns a new file object with the bytes.
        failed (Exception | None): What the last reading of one has raised, which FFmpeg may take for the file's end.
    """

    file: Callable[[], BinaryIO]
    failed: BrokenVideoError | None = None

    def check(self) -> None:
        """Refuse what was read if not all of it came.

        Raises:
            BrokenVideoError: If it did not.
        """
        if self.failed is not None:
            raise self.failed


class _Watched:
    """A file object whose errors are kept, with a name that tells FFmpeg no more than a suffix."""

    def __init__(self, path: HeldFile) -> None:
        self._path, self._file = path, _or_broken(path, path.file)
        self.name = f'video{os.path.splitext(path)[1]}'
        self.seek, self.tell, self.close = self._file.seek, self._file.tell, self._file.close

    def read(self, count: int = -1) -> bytes:
        try:
            return _or_broken(self._path, self._file.read, count)
        except BrokenVideoError as error:
            self._path.failed = error
            raise

    def __enter__(self) -> '_Watched':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _or_broken(path: str, call: Callable, *args: Any, missing: type[Exception] = BrokenVideoError) -> Any:
    """Call what opens or reads a video; its errors are those of a broken one, but for one of a file that is missing."""
    try:
        return call(*args)
    except (BrokenVideoError, missing):
        raise
    except (OSError, ValueError) as error:
        raise BrokenVideoError(path, without_name(path, error)) from error


def without_name(path: str, error: Exception) -> str:
    """What an error says, without the name of its file at the beginning."""
    if isinstance(error, BrokenVideoError):
        return error.reason
    return str(error).removeprefix(str(path)).lstrip(': ') or type(error).__name__


def hold(
    path: str,
    limits: Limits = Limits(),
    check_time: Callable[[], None] = lambda: None,
    file: Callable[[], BinaryIO] | None = None,
) -> str:
    """Return a name that :func:`opened` takes: of a video at an address, or given as a ``file``, a :class:`HeldFile`;
    of a local file as it is.

    Args:
        path (str): Name of the video, or its address.
        limits (Limits): Sizes above which it is refused. Defaults to generous ones.
        check_time (Callable): Called before bytes are fetched; ends the reading by raising. Defaults to nothing.
        file (Callable, optional): Returns a new file object with its bytes. Defaults to None: they are at the path.

    Raises:
        BrokenVideoError: If there is nothing at the address, it may not be read or is larger than the limits.
        FileNotFoundError: If nothing is at an address.
    """
    if isinstance(path, HeldFile) or (file is None and not is_address(path)):
        return path
    held = HeldFile(path)
    held.file = file or _fetched(path, limits, check_time)
    return held


def _fetched(path: str, limits: Limits, check_time: Callable[[], None]) -> Callable[[], BinaryIO]:
    from mmtsf.utils.remote_file import RemoteFile

    def check_size(size: int) -> None:
        limits.check_bytes(path, size)

    remote: Any = location(path)
    return _or_broken(path, RemoteFile, remote, check_size, check_time, missing=FileNotFoundError).open


def opened(path: str, buffering: int = -1) -> IO[bytes] | Any:
    """Open the file that a name stands for, for reading."""
    return _Watched(path) if isinstance(path, HeldFile) else open(path, 'rb', buffering)


def local_copy(path: str) -> Any:
    """Return a temporary local file with a video's bytes, for decoders that open nothing else; it is removed when it is
    closed, or nothing refers to it."""
    copy = tempfile.NamedTemporaryFile(suffix=os.path.splitext(path)[1])  # noqa: SIM115
    with opened(path) as file:
        shutil.copyfileobj(file, copy, 2**20)
    copy.flush()
    return copy
