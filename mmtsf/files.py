"""Files that are written: whole or not at all, and in places that were tried beforehand."""

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path


def check_target(path: Path, named: str) -> None:
    """See that a file can be written, before work is done for it; nothing is left behind.

    Args:
        path (Path): The file.
        named (str): What the user calls it, e.g. ``--json``.

    Raises:
        OSError: If it cannot, with the remedy.
    """
    if path.is_dir():
        raise IsADirectoryError(f'{named} is {path}, which is a folder; give the name of a file in it')
    if not path.parent.is_dir():
        raise FileNotFoundError(f'{named} is {path}, but there is no folder {path.parent}; make it or correct the path')
    try:
        if not path.exists():
            tempfile.TemporaryFile(dir=path.parent).close()
        elif not os.access(path, os.W_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OSError(f'{named} is {path}, which cannot be written: {error.strerror}; choose another') from None


def commit(part: Path, path: Path) -> None:
    """Give a file that was written aside its name, once it is on the disk; a file of that name is replaced whole."""
    with part.open('rb+') as file:
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    with suppress(OSError):  # some network file systems cannot
        os.fsync(folder)
    os.close(folder)
