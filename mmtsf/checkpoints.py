"""Checkpoint files that are whole or not there."""

import os
import zipfile
from pathlib import Path

PART = '.part'


def commit(part: Path, path: Path) -> None:
    """Give a file that was written aside its name, once it is on the disk; a file of that name is replaced whole."""
    with part.open('rb+') as file:
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint file, None if it is whole: the checksum of each of its parts is computed."""
    try:
        with zipfile.ZipFile(path) as file:  # PyTorch's format, with a CRC-32 for every tensor
            part = file.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        return f'{error or type(error).__name__}'
    return f'{part} is damaged' if part else None


def newest_whole(folder: Path) -> tuple[Path | None, dict[Path, str]]:
    """The newest checkpoint to resume from, and the newer ones that are damaged, with what is wrong with them.

    What ``last_checkpoint`` says is not asked: it may have been written when the file was not."""
    files = [path for path in folder.glob('*.pth') if not path.name.startswith('best_')]  # which has no optimizer
    damaged: dict[Path, str] = {}
    for path in sorted(files, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True):
        if (reason := damage(path)) is None:
            return path, damaged
        damaged[path] = reason
    return None, damaged
