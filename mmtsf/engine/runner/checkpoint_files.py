"""Find the checkpoints of a run, and tell whole files from damaged ones."""

import math
import os
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mmengine.fileio import FileClient, LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook, Hook

from mmtsf.weights import read_checkpoint

from .run_record import RunRecord

#: How checkpoints within an epoch are named
WITHIN = 'iter_{}.pth'


@dataclass(frozen=True)
class CheckpointFiles:
    """Checkpoints of a run: where they lie, and how they are named.

    Args:
        folder (Path): Their folder.
        template (str): Their names, with ``{}`` for the number of the epoch. Defaults to ``'epoch_{}.pth'``.
        by_epoch (bool): Whether it is an epoch's; else an iteration's. Defaults to True.
    """

    folder: Path
    template: str = 'epoch_{}.pth'
    by_epoch: bool = True

    @classmethod
    def of(cls, work_dir: str, hooks: Iterable[Hook]) -> 'CheckpointFiles':
        """Those of a run that has not begun to train, where its checkpoint hook will write them."""
        hook = next((hook for hook in hooks if isinstance(hook, CheckpointHook)), None)
        if hook is None:
            return cls(Path(work_dir))
        folder = Path(hook.out_dir, Path(work_dir).name) if hook.out_dir not in (None, work_dir) else Path(work_dir)
        return cls(folder, hook.filename_tmpl, hook.by_epoch)

    def numbered(self, template: str) -> dict[int, Path]:
        """Files of a template by their numbers."""
        folder = (self.folder / template).parent
        names = [path.name for path in (folder.iterdir() if folder.is_dir() else ()) if path.is_file()]
        return {number: folder / name for number, name in numbers(Path(template).name, names).items()}

    def used(self) -> list[str]:
        """Names of all checkpoints, the best as well."""
        files = [path for template in {self.template, WITHIN} for path in self.numbered(template).values()]
        return sorted(path.name for path in [*files, *self.folder.glob(f'best_*{Path(self.template).suffix}')])

    def newest_whole(self, run: str | None = None) -> tuple[Path | None, dict[Path, str]]:
        """The newest checkpoint to resume from, and the newer ones that are damaged or of another run, with what is
        wrong.

        What ``last_checkpoint`` says is not asked: it may have been written when the file was not.

        Args:
            run (str, optional): Name of the run that it must be of. Defaults to None: of any.
        """
        files = {path: (number, self.by_epoch) for number, path in self.numbered(self.template).items()}
        files = {path: (number, False) for number, path in self.numbered(WITHIN).items()} | files
        damaged: dict[Path, str] = {}
        for path in sorted(files, key=lambda path: _place(path, *files[path]), reverse=True):
            if (reason := damage(path, run)) is None:
                return path, damaged
            damaged[path] = reason
        return None, damaged


def numbers(template: str, names: Iterable[str]) -> dict[int, str]:
    """Return names that a template gives, by their numbers."""
    pattern = re.compile(r'(\d+)'.join(map(re.escape, re.split(r'\{.*?\}', template))))
    matches = ((pattern.fullmatch(name), name) for name in names)
    return {int(match[1]): name for match, name in matches if match}


def is_on_disk(out_dir: str, file_client_args: dict | None = None, backend_args: dict | None = None) -> bool:
    """Whether checkpoints are written to files of this machine, not to an object store; takes MMEngine's arguments."""
    if file_client_args is not None:
        return isinstance(FileClient.infer_client(file_client_args, out_dir).client, LocalBackend)
    return isinstance(get_file_backend(out_dir, backend_args=backend_args), LocalBackend)


def damage(path: Path, run: str | None = None) -> str | None:
    """What is wrong with a checkpoint file, None if it is whole: the checksum of each of its parts is computed.

    Args:
        path (Path): The file.
        run (str, optional): Name of the run that it must be of. Defaults to None: of any.
    """
    try:
        of = RunRecord.parse(read_checkpoint(str(path)).get('meta') or {}).id
        with zipfile.ZipFile(path) as file:  # PyTorch's format, with a CRC-32 for every tensor
            part = file.testzip()
    except Exception as error:  # of many kinds, as damage is
        return f'{error or type(error).__name__}'
    if not part and run and of not in (None, run):
        return f'it is of another run ({of}) than the one of this work dir ({run})'
    return f'{part} is damaged' if part else None


def _place(path: Path, number: int, by_epoch: bool) -> tuple[float, float, int]:
    """Epoch and iteration of a checkpoint, and when it was written; of a damaged one, as its name has it."""
    try:
        meta = read_checkpoint(str(path), 'meta')['meta']
        return float(meta['epoch']), float(meta['iter']), os.stat(path).st_mtime_ns
    except Exception:  # of many kinds, as damage is
        return (number if by_epoch else math.inf), math.inf, 0
