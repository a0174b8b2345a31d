"""Reserve a work dir for one training at a time, and for the checkpoints of one run."""

import fcntl
import logging
import os
import socket
import tempfile
import uuid
from pathlib import Path
from typing import IO

from mmengine.logging import print_log

from mmtsf.utils.files import LOCK

from .checkpoint_files import CheckpointFiles
from .job import job_id
from .run_record import RunRecord

#: File of a work dir: the name of the run whose checkpoints lie there
RUN = 'run_id'
#: Locks of this process by their folders: they last as long as it does
_locks: dict[Path, IO] = {}


def check_work_dir(folder: Path) -> None:
    """Try to write to a work dir that this process has not claimed; it is made if there is none.

    Raises:
        OSError: If that fails, with the remedy.
    """
    if folder.resolve() in _locks:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise _not_written(folder, error) from None


def _not_written(folder: Path, error: OSError) -> OSError:
    return OSError(
        f'the work dir {folder} cannot be written: {error.strerror or error}; choose another with --work-dir'
    )


def claim(folder: Path) -> None:
    """Take a work dir for a training, for as long as this process lives.

    The lock is POSIX's: it ends with the process, however that ends, data workers do not inherit it, and network file
    systems that lock at all know it.

    Raises:
        OSError: If the work dir cannot be written.
        RuntimeError: If another training lives in it.
    """
    if folder.resolve() in _locks:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / LOCK, 'a+')  # noqa: SIM115  # to close it anywhere in this process would free the lock
    except OSError as error:
        raise _not_written(folder, error) from None
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        lock.seek(0)
        raise RuntimeError(
            f'another training ({lock.read().strip() or "just started"}) lives in the work dir {folder}; wait for '
            'its end, or choose another folder with --work-dir'
        ) from None
    except OSError as error:
        words = f'{folder} is on a file system without locks ({error.strerror}); see to it that no other training '
        print_log(f'{words}writes there', 'current', logging.WARNING)
    lock.truncate(0)
    print(f'process {os.getpid()} on {socket.gethostname()}', file=lock, flush=True)
    _locks[folder.resolve()] = lock


def refuse_used(files: CheckpointFiles) -> None:
    """Refuse to begin a training that would write over the checkpoints of an earlier one.

    Raises:
        RuntimeError: If there are any.
    """
    if found := files.used():
        raise RuntimeError(
            f'the work dir {files.folder} holds checkpoints of an earlier training ({", ".join(found[:3])}); go on '
            'from them with --resume, choose another folder with --work-dir, or remove them'
        )


def name_run(folder: Path, files: CheckpointFiles, source: str | None, run: RunRecord | None) -> str:
    """Name the run of a work dir: as the checkpoint that is resumed, or anew.

    Args:
        folder (Path): Work dir.
        files (CheckpointFiles): Its checkpoints.
        source (str, optional): Checkpoint that is resumed. Defaults to None: a training begins.
        run (RunRecord, optional): What it tells of its run.

    Raises:
        RuntimeError: If there are checkpoints of another run.
    """
    before, name = name_of(folder), run.id if run else None
    is_inside = source is not None and Path(source).resolve().parent == files.folder.resolve()
    if name is not None and name != before and files.used() and (before or not is_inside):
        raise RuntimeError(
            f'the work dir {files.folder} holds checkpoints of another run than {source}; choose another folder with '
            '--work-dir'
        )
    name = name or (source and before) or '-'.join(filter(None, [job_id(), uuid.uuid4().hex]))
    (folder / RUN).write_text(f'{name}\n')
    return name


def name_of(folder: Path) -> str | None:
    """Name of the run whose checkpoints lie in a work dir; None as version 0.1 left it."""
    file = folder / RUN
    return file.read_text(errors='replace').strip() if file.is_file() else None


def is_of_this_job(folder: Path) -> bool:
    """Whether the run of a work dir was begun by this launcher's job, as far as the job has a name."""
    return job_id() is None or (name_of(folder) or '').startswith(f'{job_id()}-')
