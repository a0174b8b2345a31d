"""Train a trial in a process of its own, and follow its validations."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mmtsf.utils.files import LOCK
from mmtsf.utils.signals import end_with_parent
from mmtsf.utils.sources import PACKAGE

#: Seconds between two looks at a trial, and that one has to write a checkpoint in when it is stopped
LOOK, PATIENCE = 0.2, 120
#: What a validation logs that is no score
NO_SCORES = ('data_time', 'time', 'step', 'epoch', 'memory', 'epoch_loss')


def train_command(config: str, work_dir: Path, words: list[str], gpus: int | None, more: list[str]) -> list[str]:
    """Return the command that trains a trial, or goes on with it.

    Args:
        config (str): Config.
        work_dir (Path): Its work dir.
        words (list[str]): ``KEY=VALUE`` words.
        gpus (int, optional): Processes, one a GPU. Defaults to None: one process, without torchrun.
        more (list[str]): Other options of ``mmtsf train``.
    """
    options = ['--work-dir', str(work_dir), '--resume', *more, *(['--cfg-options', *words] if words else [])]
    if gpus is None:
        return [sys.executable, '-m', 'mmtsf', 'train', config, *options]
    installed = PACKAGE / '.mim/tools'
    tools = installed if installed.is_dir() else PACKAGE.parent / 'tools'
    return ['bash', str(tools / 'dist_train.sh'), config, str(gpus), *options]


def follow(command: list[str], log: Path, look: Callable[[], bool], port: int | None = None) -> int:
    """Run a trial's command until it ends, or is to be stopped: then it writes a checkpoint before it ends.

    Args:
        command (list[str]): The command.
        log (Path): File for what it prints.
        look (Callable): Is called now and then, and once more after the end; returns whether the trial is to stop.
        port (int, optional): Port of its processes. Defaults to None: of a single process.

    Returns:
        int: Its exit code.
    """
    environment = dict(os.environ, PYTHON=sys.executable) | ({} if port is None else dict(PORT=str(port)))
    with log.open('a') as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # signals of the terminal come from here, once
            preexec_fn=partial(end_with_parent, signal.SIGTERM),
        )
        try:
            while process.poll() is None:
                if look():
                    _stop(process)
                time.sleep(LOOK)
        finally:
            _stop(process)
    look()
    return process.returncode


def _stop(process: subprocess.Popen) -> None:
    """Have a process write its checkpoint and end; one that takes too long, or at the next Ctrl-C, is killed."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_for_lock(work_dir: Path, seconds: float = PATIENCE) -> None:
    """Wait until a trial that a killed sweep has left has written its checkpoint and ended.

    Raises:
        OSError: If it does not end.
    """
    import fcntl

    end = time.monotonic() + seconds
    while (file := work_dir / LOCK).exists():
        with file.open('a') as lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if time.monotonic() > end:
                    raise OSError(f'{work_dir} is still trained in, {file} says by whom; wait for its end') from None
        time.sleep(LOOK)


class Logs:
    """Read what the validations of a trial have measured from its logs, each line once.

    Args:
        work_dir (Path): Its work dir.
    """

    def __init__(self, work_dir: Path) -> None:
        self.work_dir = work_dir
        self._validations: dict[int, dict[str, float]] = {}
        self._read: dict[Path, int] = {}

    def validations(self) -> dict[int, dict[str, float]]:
        """Return the numbers of each validation so far by their names, by epochs."""
        for log in sorted(self.work_dir.glob('*/vis_data/scalars.json')):
            with log.open('rb') as file:
                file.seek(self._read.get(log, 0))
                lines = file.read()
            whole = lines[: lines.rfind(b'\n') + 1]  # the last line may be half written
            self._read[log] = self._read.get(log, 0) + len(whole)
            for row in filter(None, map(_parsed, whole.decode(errors='replace').splitlines())):
                self._add(row)
        return dict(sorted(self._validations.items()))

    def _add(self, row: dict) -> None:
        numbers = {
            name: float(value)
            for name, value in row.items()
            if name not in NO_SCORES and isinstance(value, (int, float)) and 'iter' not in row
        }
        if numbers and isinstance(row.get('step'), int):
            self._validations[row['step']] = numbers


def _parsed(line: str) -> dict | None:
    """Return a line of a log as a dict; None of one that is half written."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def last_words(log: Path) -> str:
    """Return the last line that a trial has printed."""
    lines = log.read_text(errors='replace').split('\n') if log.is_file() else []
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), 'it printed nothing')
