"""Checkpoint files that are whole or not there, in a work dir of one run."""

import fcntl
import logging
import math
import os
import re
import socket
import tempfile
import uuid
import zipfile
from pathlib import Path
from typing import IO, Any

from mmengine.logging import print_log

from mmtsf.weights.read import read_checkpoint

from .resume import RunRecord

PART = '.part'
#: Files of a work dir: locked by the training that lives in it; the name of the run whose checkpoints lie there
LOCK, RUN = '.lock', 'run_id'
CHECKPOINT = re.compile(r'(epoch|iter)_\d+\.pth|best_.*\.pth')
#: Locks of this process by their folders: they last as long as it does
_locks: dict[Path, IO] = {}


def steps(folder: Path, kind: str) -> dict[int, Path]:
    """Checkpoints ``KIND_N.pth`` by their number N; ``kind`` is ``'epoch'`` or ``'iter'``."""
    names = ((re.fullmatch(rf'{kind}_(\d+)\.pth', path.name), path) for path in folder.glob(f'{kind}_*.pth'))
    return {int(match[1]): path for match, path in names if match and path.is_file()}


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


def claim(folder: Path) -> None:
    """Take a work dir for a training, for as long as this process lives.

    The lock is POSIX's: it ends with the process, however that ends, data workers do not inherit it, and network file
    systems that lock at all know it.

    Raises:
        RuntimeError: If another training lives in it.
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


def refuse_used(folder: Path) -> None:
    """Refuse a work dir in which a training that begins would write over the checkpoints of an earlier one.

    Raises:
        RuntimeError: If there are any.
    """
    if found := _used(folder):
        raise RuntimeError(
            f'the work dir {folder} holds checkpoints of an earlier training ({", ".join(found[:3])}); go on from them '
            'with --resume, choose another folder with --work-dir, or remove them'
        )


def _used(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob('*.pth') if CHECKPOINT.fullmatch(path.name))


def name_run(folder: Path, source: str | None, run: RunRecord | None) -> str:
    """Name the run of a work dir: as the checkpoint that is resumed, or anew.

    Args:
        folder (Path): Work dir.
        source (str, optional): Checkpoint that is resumed. Defaults to None: a training begins.
        run (RunRecord, optional): What it tells of its run.

    Raises:
        RuntimeError: If the work dir holds checkpoints of another run.
    """
    before, name = name_of(folder), run.id if run else None
    is_inside = source is not None and Path(source).resolve().parent == folder.resolve()
    if name is not None and name != before and _used(folder) and (before or not is_inside):
        raise RuntimeError(
            f'the work dir {folder} holds checkpoints of another run than {source}; choose another folder with '
            '--work-dir'
        )
    name = name or (source and before) or '-'.join(filter(None, [launch(), uuid.uuid4().hex]))
    (folder / RUN).write_text(f'{name}\n')
    return name


def name_of(folder: Path) -> str | None:
    """Name of the run whose checkpoints lie in a work dir; None as version 0.1 left it."""
    file = folder / RUN
    return file.read_text(errors='replace').strip() if file.is_file() else None


def launch() -> str | None:
    """Name of the launcher's job, which stays when it starts processes again: of tools/torchrun.py, or of Slurm."""
    job = os.environ.get('SLURM_JOB_ID')
    return os.environ.get('MMTSF_LAUNCH') or (job and f'slurm_{job}')


def is_of_this_launch(folder: Path) -> bool:
    """Whether the run of a work dir was begun by this launcher's job, as far as the job has a name."""
    return launch() is None or (name_of(folder) or '').startswith(f'{launch()}-')


def damage(path: Path, run: str | None = None) -> str | None:
    """What is wrong with a checkpoint file, None if it is whole: the checksum of each of its parts is computed.

    Args:
        path (Path): The file.
        run (str, optional): Name of the run that it must be of. Defaults to None: of any.
    """
    try:
        of = run_of(read_checkpoint(str(path)))
        with zipfile.ZipFile(path) as file:  # PyTorch's format, with a CRC-32 for every tensor
            part = file.testzip()
    except Exception as error:  # of many kinds, as damage is
        return f'{error or type(error).__name__}'
    if not part and run and of not in (None, run):
        return f'it is of another run ({of}) than the one of this work dir ({run})'
    return f'{part} is damaged' if part else None


def run_of(checkpoint: dict) -> Any:
    """Name of the run that wrote a checkpoint, None if it has none."""
    run = (checkpoint.get('meta') or {}).get('run')
    return run.get('id') if isinstance(run, dict) else None


def newest_whole(folder: Path) -> tuple[Path | None, dict[Path, str]]:
    """The newest checkpoint to resume from, and the newer ones that are damaged or of another run, with what is wrong.

    What ``last_checkpoint`` says is not asked: it may have been written when the file was not."""
    run = name_of(folder)
    files = [*steps(folder, 'epoch').items(), *steps(folder, 'iter').items()]
    damaged: dict[Path, str] = {}
    for _, path in sorted(files, key=lambda item: _place(*item), reverse=True):
        if (reason := damage(path, run)) is None:
            return path, damaged
        damaged[path] = reason
    return None, damaged


def _place(number: int, path: Path) -> tuple[float, float, int]:
    """Epoch and iteration of a checkpoint, and when it was written; of a damaged one, as its name has it."""
    try:
        meta = read_checkpoint(str(path), 'meta')['meta']
        return float(meta['epoch']), float(meta['iter']), path.stat().st_mtime_ns
    except Exception:  # of many kinds, as damage is
        return (number if path.name.startswith('epoch') else math.inf), math.inf, 0
