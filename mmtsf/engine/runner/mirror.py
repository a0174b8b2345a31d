"""Keep a work dir that lies at an address: the run works in a local folder, and a thread copies it there.

So all holds that holds on a disk: files are whole, damage is found, a full disk or a store that is away ends nothing.
A checkpoint is named there (``last_checkpoint``) once it is whole there, and old ones are removed after that.
"""

import os
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from logging import Logger
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from filelock import FileLock

from mmtsf.utils.files import LOCK, PART, check_folder, download, is_inner, upload
from mmtsf.utils.locations import is_address, location, scheme_of
from mmtsf.utils.remote_calls import UnreachableError, attempt
from mmtsf.utils.remote_path import RemotePath
from mmtsf.utils.screen import ON_SCREEN
from mmtsf.utils.sources import WORK_DIRS
from mmtsf.utils.text import without_secrets

from .checkpoint_files import WITHIN, CheckpointFiles, damage, numbers
from .work_dir import RUN, name_of

#: The file that names the last checkpoint
LAST = 'last_checkpoint'
#: Suffixes and most bytes of logs, which a resume fetches, too, to go on with them; no program is fetched
LOGS, MOST_LOG = ('.csv', '.json', '.log', '.txt'), 64 * 2**20
#: Seconds between tries while a store is away, and for how long it is tried at the end, and where a job is preempted
AGAIN, AT_END, PREEMPTED = 15.0, 120.0, 15.0


class Entry(NamedTuple):
    """A file at an address: its bytes, and when it was written, 0 where its store does not tell."""

    size: int
    time: float


def local_folder(work_dir: str) -> str:
    """Return the folder in which a run works: the work dir itself, or of an address ``work_dirs/s3/BUCKET/NAME``.

    Raises:
        ValueError: If the address leads out of that folder.
    """
    if not is_address(work_dir):
        return work_dir if scheme_of(work_dir) is None else str(location(work_dir))
    scheme, _, rest = work_dir.partition('://')
    names = [name for name in rest.split('/') if name]
    if not names or any(re.fullmatch(r'\.+', name) or '\\' in name for name in names):
        raise ValueError(f'the work dir is {without_secrets(work_dir)}, expected an address such as s3://bucket/run')
    return str(Path(WORK_DIRS, scheme.lower(), *names))


def check_address(work_dir: str) -> None:
    """Try to write to a work dir that is an address.

    Raises:
        OSError: If that fails: there are no rights, no bucket or no network.
    """
    if is_address(work_dir):
        check_folder(location(work_dir), 'the work dir')


def mirror_of(work_dir: str, logger: Logger) -> 'Mirror | None':
    """Return what copies a work dir to its address; None of a local one."""
    address = location(work_dir)
    return Mirror(Path(local_folder(work_dir)), address, logger) if isinstance(address, RemotePath) else None


class Mirror:
    """Copy a folder to an address: what is new or has changed, in the background, one pass at a time.

    Args:
        folder (Path): The folder.
        address (RemotePath): Where it is copied to.
        logger (Logger): Told what cannot be copied, at once.
    """

    def __init__(self, folder: Path, address: RemotePath, logger: Logger) -> None:
        self.folder = folder
        self.address = address
        self.logger = logger
        #: Why the last pass failed; None if it did not
        self.failure: str | None = None
        self._passes = False  # whether the reason may pass
        self._there: dict[str, tuple[int, int] | None] = {}  # what is at the address, as it was here when it was put
        self._has_looked = False
        self._gone: set[str] = set()  # what is to be removed there
        self._hurry = threading.Event()
        self._next: Future | None = None
        self._thread = ThreadPoolExecutor(1, 'mirror')  # which begins with the first copy

    def update(self) -> None:
        """Copy what is new in the background; a pass that has not begun yet copies that as well."""
        if self._next is None or self._next.running() or self._next.done():
            self._next = self._thread.submit(self._copy)

    def remove(self, path: str | Path) -> None:
        """Have a file removed at the address, after what is new is there."""
        self._gone.add(Path(path).name)

    def holds(self, path: str | Path) -> bool:
        """Return whether a file of that name is known to be at the address."""
        return Path(path).name in self._there

    def names(self, template: str) -> dict[int, Path]:
        """Return checkpoints of a template that are at the address, by their numbers, as if they were here."""
        return {number: self.folder / name for number, name in numbers(template, list(self._there)).items()}

    def finish(self, seconds: float = AT_END) -> str | None:
        """Copy what is new, and wait for it.

        Args:
            seconds (float): How long it is tried again where the reason may pass. Defaults to two minutes.

        Returns:
            str | None: Why that failed; None if all is there.
        """
        until = time.monotonic() + seconds
        self._hurry.set()
        while True:
            self.update()
            wait([self._next] if self._next else [])
            if self.failure is None or not self._passes or time.monotonic() > until:
                break
            time.sleep(min(AGAIN, 1 + seconds / 10))
        self._hurry.clear()
        return self.failure

    def _copy(self) -> None:
        """Put what is new and remove what is old; again and again while the store is away, until there is a hurry."""
        while True:
            try:
                self._put_new()
                self._remove_old()
                if self.failure:
                    self.logger.info(f'{self.address} is as {self.folder} again', extra=ON_SCREEN)
                self.failure = None
                return
            except Exception as error:  # of many kinds, as libraries are; training goes on
                self._passes = isinstance(error, UnreachableError)
                self._tell(error)
            if not self._passes or self._hurry.wait(AGAIN):
                return

    def _tell(self, error: Exception) -> None:
        said = str(error) if isinstance(error, (OSError, ValueError, RuntimeError)) else repr(error)
        if self.failure is None:
            self.logger.error(f'the work dir cannot be copied: {said}; all of it lies in {self.folder}')
        self.failure = said

    def _put_new(self) -> None:
        """Put files that are new or have changed: small ones, then checkpoints as they came, then what names one."""
        if not self._has_looked:
            with suppress(PermissionError):  # who may not list puts all that is here
                self.look()
        last = self.folder / LAST
        named = Path(last.read_text()).name if last.is_file() else None
        states = {name: state for name in self._local() if (state := self._state(name))}
        changed = [name for name, state in states.items() if self._there.get(name) != state and name != LAST]
        self._check_run()
        for name in sorted(changed, key=lambda name: (not _is_log(name, states[name][1]), states[name])):
            self._put(name)
        if named and self._there.get(named) and self._there.get(LAST) != states.get(LAST):
            attempt(self.address, (self.address / LAST).write_text, f'{self.address}/{named}')
            self._there[LAST] = states.get(LAST)

    def _put(self, name: str) -> None:
        """Put a file, unless it was removed meanwhile."""
        state = self._state(name)
        try:
            if state:
                upload(self.folder / name, self.address.joinpath(name))
        except FileNotFoundError:
            if self._state(name):
                raise  # it is the bucket that is not there
            return
        if state:
            self._there[name] = state

    def _remove_old(self) -> None:
        for name in list(self._gone):
            if not (self.folder / name).exists():
                try:
                    self.address.joinpath(name).unlink(missing_ok=True)
                except (PermissionError, FileNotFoundError) as error:
                    if not isinstance(error, FileNotFoundError):
                        self.logger.error(f'{self.address}/{name} cannot be removed: {error}; training goes on')
                self._there.pop(name, None)
            self._gone.discard(name)

    def _check_run(self) -> None:
        """Refuse to write into what another training has begun to write meanwhile."""
        there, here = self._run_there(), name_of(self.folder)
        if None not in (there, here) and there != here:
            raise RuntimeError(f'another training ({there}) writes to {self.address}')

    def _run_there(self) -> str | None:
        try:
            return (self.address / RUN).read_text().strip()[:200]
        except FileNotFoundError:
            return None

    def _local(self) -> Iterator[str]:
        for path in sorted(self.folder.rglob('*')):
            if path.name != LOCK and not path.name.endswith(PART) and path.is_file():
                yield path.relative_to(self.folder).as_posix()

    def _state(self, name: str) -> tuple[int, int] | None:
        """When a file was changed, and its bytes; None if there is none."""
        try:
            found = os.stat(self.folder / name)
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size

    # What is at the address before the run writes there

    def look(self) -> dict[str, Entry]:
        """List what is at the address, and note what is here alike.

        Raises:
            OSError: If it cannot be listed.
        """
        found = self.address.facts_below()
        there = {name: Entry(facts.size, facts.time or 0) for name, facts in found.items() if is_inner(name)}
        for name, entry in there.items():
            state = self._state(name)
            is_same = state and not _is_log(name, state[1]) and entry.size == state[1] and entry.time >= state[0] / 1e9
            self._there[name] = state if is_same else None
        self._has_looked = True
        return there

    def refuse_used(self, files: CheckpointFiles) -> None:
        """Refuse to begin a training where there are checkpoints of an earlier one.

        Raises:
            RuntimeError: If there are any.
        """
        there = [name for name in self.look() if '/' not in name]
        templates = {files.template, WITHIN}
        used = [name for template in templates for name in numbers(template, there).values()]
        if used := sorted([*used, *(name for name in there if re.match(r'best_.*\.pth$', name))]):
            raise RuntimeError(
                f'the work dir {self.address} holds checkpoints of an earlier training ({", ".join(used[:3])}); go on '
                'from them with --resume, choose another folder with --work-dir, or remove them'
            )

    def fetch(self, files: CheckpointFiles) -> None:
        """Fetch the newest whole checkpoint, unless it is here already, and logs that are not.

        Raises:
            OSError: If they cannot be fetched.
            RuntimeError: If the folder holds checkpoints of another run.
        """
        there = self.look()
        self._take_run(files)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, entry in there.items():
            if _is_log(name, entry.size) and not (self.folder / name).exists():
                self._get(name, entry)
        for name in self._newest_first(there, files):
            path = self.folder / name
            if path.is_file() and damage(path, name_of(self.folder)) is None:
                return
            self.logger.info(f'fetching {name} from {self.address}', extra=ON_SCREEN)
            self._get(name, there[name])
            if (reason := damage(path, name_of(self.folder))) is None:
                return
            self.logger.warning(f'{self.address}/{name} is newer, but passed over: {reason}')

    def compare(self, path: Path) -> None:
        """Say that a checkpoint that is resumed is not at the address, or not so."""
        if self._there.get(path.name) is None:
            self.logger.info(f'{path} is newer than what lies at {self.address}', extra=ON_SCREEN)

    def bring(self, path: Path) -> None:
        """Fetch a checkpoint that the main process resumes from, on a machine that does not have it."""
        with FileLock(path.parent / '.fetching'):
            if not path.exists():
                download(self.address / path.name, path)

    def _take_run(self, files: CheckpointFiles) -> None:
        there, here = self._run_there(), name_of(self.folder)
        if there is None or there == here:
            return
        if here is not None and files.used():
            raise RuntimeError(
                f'{self.folder}, in which the run works, holds checkpoints of another run ({here}) than {self.address} '
                f'({there}); move one of them away, or choose another --work-dir'
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / RUN).write_text(f'{there}\n')

    def _newest_first(self, there: dict[str, Entry], files: CheckpointFiles) -> list[str]:
        """Names of checkpoints in the order in which they were put, the last one first; the named one before others of
        its second."""
        found = {name: number for kind in (WITHIN, files.template) for number, name in numbers(kind, there).items()}
        named = PurePosixPath((self.address / LAST).read_text().strip()).name if LAST in there else None
        return sorted(found, key=lambda name: (there[name].time, name == named, found[name]), reverse=True)

    def _get(self, name: str, entry: Entry) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        download(self.address.joinpath(name), path)
        os.utime(path, (entry.time, entry.time))
        self._there[name] = self._state(name)


def _is_log(name: str, size: int) -> bool:
    return name != LAST and PurePosixPath(name).suffix in LOGS and size <= MOST_LOG
