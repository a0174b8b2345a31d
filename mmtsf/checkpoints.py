"""Checkpoint files that are whole or not there."""

import os
import re
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

from .weights.reader import read_checkpoint

PART = '.part'


def steps(folder: Path, kind: str) -> dict[int, Path]:
    """Checkpoints ``KIND_N.pth`` by their number N; ``kind`` is ``'epoch'`` or ``'iter'``."""
    names = ((re.fullmatch(rf'{kind}_(\d+)\.pth', path.name), path) for path in folder.glob(f'{kind}_*.pth'))
    return {int(match[1]): path for match, path in names if match}


def check_work_dir(folder: Path) -> None:
    """Try to write to a work dir, which is made if there is none.

    Raises:
        OSError: If that fails, with the remedy.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f'the work dir {folder} cannot be written: {reason}; choose another with --work-dir') from None


def commit(part: Path, path: Path) -> None:
    """Give a file that was written aside its name, once it is on the disk; a file of that name is replaced whole."""
    with part.open('rb+') as file:
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    with suppress(OSError):  # some network file systems cannot
        os.fsync(folder)
    os.close(folder)


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint file, None if it is whole: the checksum of each of its parts is computed."""
    try:
        with zipfile.ZipFile(path) as file:  # PyTorch's format, with a CRC-32 for every tensor
            part = file.testzip()
            # PyTorch reads nothing from what claims to be a folder, and leaves the tensor as it found the memory
            part = part or next((info.filename for info in file.infolist() if info.external_attr), None)
        read_checkpoint(str(path))
    except Exception as error:  # of many kinds, as damage is
        return f'{error or type(error).__name__}'
    return f'{part} is damaged' if part else None


def newest_whole(folder: Path) -> tuple[Path | None, dict[Path, str]]:
    """The newest checkpoint to resume from, and the newer ones that are damaged, with what is wrong with them.

    What ``last_checkpoint`` says is not asked: it may have been written when the file was not."""
    files = [*steps(folder, 'epoch').values(), *steps(folder, 'iter').values()]
    damaged: dict[Path, str] = {}
    for path in sorted(files, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True):
        if (reason := damage(path)) is None:
            return path, damaged
        damaged[path] = reason
    return None, damaged
