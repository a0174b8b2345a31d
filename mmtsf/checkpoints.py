"""Checkpoint files that are whole or not there, in a work dir of one run."""

import fcntl
import logging
import os
import re
import socket
import tempfile
import uuid
import zipfile
from pathlib import Path
from typing import IO, Any

from mmengine.logging import print_log

from .weights.reader import read_checkpoint

PART = '.part'
#: Files of a work dir: locked by the training that lives in it; the name of the run whose checkpoints lie there
LOCK, RUN = '.lock', 'run_id'
CHECKPOINT = re.compile(r'(epoch|iter)_\d+\.pth|best_.*\.pth')
#: Locks of this process by their folders: they last as long as it does
_locks: dict[Path, IO] = {}


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


def enter(folder: Path, resumes: bool) -> None:
    """Take a work dir for a training, for as long as this process lives.

    The lock is POSIX's: it ends with the process, however that ends, data workers do not inherit it, and network file
    systems that lock at all know it.

    Args:
        folder (Path): Work dir.
        resumes (bool): Whether the training may go on from the checkpoints in it.

    Raises:
        RuntimeError: If another training lives in it, or it holds checkpoints and the training begins anew.
    """
    check_work_dir(folder)
    if folder.resolve() not in _locks:
        lock = open(folder / LOCK, 'a+')  # noqa: SIM115  # to close it anywhere in this process would free the lock
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            lock.seek(0)
            raise RuntimeError(
                f'another training ({lock.read().strip() or "just started"}) lives in the work dir {folder}; wait for '
                'its end, or choose another folder with --work-dir'
            ) from None
        except OSError as error:
            print_log(
                f'{folder} is on a file system without locks ({error.strerror}); see to it that no other '
                'training writes there',
                'current',
                logging.WARNING,
            )
        lock.truncate(0)
        print(f'process {os.getpid()} on {socket.gethostname()}', file=lock, flush=True)
        _locks[folder.resolve()] = lock
    if not resumes:
        refuse_used(folder)


def refuse_used(folder: Path) -> None:
    """Refuse a work dir in which a training that begins would write over the checkpoints of an earlier one.

    Raises:
        RuntimeError: If there are any.
    """
    found = sorted(path.name for path in folder.glob('*.pth') if CHECKPOINT.fullmatch(path.name))
    if found:
        raise RuntimeError(
            f'the work dir {folder} holds checkpoints of an earlier training ({", ".join(found[:3])}); go on from them '
            'with --resume, choose another folder with --work-dir, or remove them'
        )


def name_run(folder: Path, name: str | None) -> str:
    """Name the run of a work dir: as the checkpoint that is resumed, or anew."""
    name = name or uuid.uuid4().hex
    (folder / RUN).write_text(f'{name}\n')
    return name


def damage(path: Path, run: str | None = None) -> str | None:
    """What is wrong with a checkpoint file, None if it is whole: the checksum of each of its parts is computed.

    Args:
        path (Path): The file.
        run (str, optional): Name of the run that it must be of. Defaults to None: of any.
    """
    try:
        with zipfile.ZipFile(path) as file:  # PyTorch's format, with a CRC-32 for every tensor
            part = file.testzip()
            # PyTorch reads nothing from what claims to be a folder, and leaves the tensor as it found the memory
            part = part or next((info.filename for info in file.infolist() if info.external_attr), None)
        of = run_of(read_checkpoint(str(path)))
    except Exception as error:  # of many kinds, as damage is
        return f'{error or type(error).__name__}'
    if not part and run and of != run:
        return f'it is of another run ({of or "without a name"}) than the one of this work dir ({run})'
    return f'{part} is damaged' if part else None


def run_of(checkpoint: dict) -> Any:
    """Name of the run that wrote a checkpoint, None if it has none."""
    run = (checkpoint.get('meta') or {}).get('run')
    return run.get('id') if isinstance(run, dict) else None


def newest_whole(folder: Path) -> tuple[Path | None, dict[Path, str]]:
    """The newest checkpoint to resume from, and the newer ones that are damaged or of another run, with what is wrong.

    What ``last_checkpoint`` says is not asked: it may have been written when the file was not."""
    run = (folder / RUN).read_text().strip() if (folder / RUN).is_file() else None
    files = [*steps(folder, 'epoch').values(), *steps(folder, 'iter').values()]
    damaged: dict[Path, str] = {}
    for path in sorted(files, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True):
        if (reason := damage(path, run)) is None:
            return path, damaged
        damaged[path] = reason
    return None, damaged
