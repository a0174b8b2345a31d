"""Read what the control groups of Linux allow this process: those of a container, or of a job of Slurm's."""

from collections.abc import Iterator
from pathlib import Path

#: Lists the groups of this process
PROC = Path('/proc/self/cgroup')
#: Where groups are folders
MOUNT = Path('/sys/fs/cgroup')


def group_folders(controller: str, proc: Path = PROC, mount: Path = MOUNT) -> Iterator[Path]:
    """Yield the folders of the groups that this process is in (version 1 or 2), each followed by those above it.

    Args:
        controller (str): What is limited, e.g. ``'memory'``.
        proc (Path): Lists the groups; only Linux has it. Defaults to this process's.
        mount (Path): Where groups are folders.
    """
    for line in proc.read_text().splitlines() if proc.is_file() else []:
        _, controllers, group = line.split(':', 2)
        if not controllers or controller in controllers.split(','):
            folder = mount / (controllers and controller) / group.lstrip('/')
            yield from (folder, *folder.parents)


def memory_limits(proc: Path = PROC, mount: Path = MOUNT) -> Iterator[int]:
    """Yield the limits of memory, bytes; the arguments are those of :func:`group_folders`."""
    for folder in group_folders('memory', proc, mount):
        for words in map(_words, (folder / 'memory.max', folder / 'memory.limit_in_bytes')):
            if words and words[0] != 'max':
                yield int(words[0])


def cpu_limits(proc: Path = PROC, mount: Path = MOUNT) -> Iterator[float]:
    """Yield the limits of processor time, in processors; the arguments are those of :func:`group_folders`."""
    for folder in group_folders('cpu', proc, mount):
        first = [*_words(folder / 'cpu.cfs_quota_us'), *_words(folder / 'cpu.cfs_period_us')]
        for words in (_words(folder / 'cpu.max'), first):
            if len(words) == 2 and words[0] not in ('max', '-1'):
                yield int(words[0]) / int(words[1])


def _words(file: Path) -> list[str]:
    """Words of a file; none of one that is not there or cannot be read."""
    try:
        return file.read_text().split()
    except OSError:
        return []
