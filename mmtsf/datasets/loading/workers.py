"""Choose the workers of a data loader by the cores that this process has."""

from typing import Any

import torch
from mmengine.logging import print_log

from mmtsf.utils.cores import local_processes, num_cores

#: The word that asks for it
AUTO = 'auto'
#: Most workers of a loader that nobody has asked for: their batches take memory, and one GPU wants no more clips
MOST = 16
#: Batches that all workers together keep ready, at least
READY = 4


def number_of_workers(given: int | str) -> int:
    """The number of workers that a config asks for: a number, or ``'auto'`` for this process's share of the cores.

    Raises:
        ValueError: If it is anything else.
    """
    if given == AUTO:
        return min(max(num_cores() // local_processes(), 1), MOST)
    if not _is_number(given):
        raise ValueError(f'num_workers is {given!r}, expected a number or {AUTO!r}; set train_dataloader.num_workers=8')
    return int(given)


def _is_number(value: Any, least: int = 0) -> bool:
    """Whether a value is a whole number, and at least another one."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def with_workers(loader: dict) -> dict[str, Any]:
    """Config of a data loader with a number of workers, whose batches are pinned where there is a GPU.

    What the config says itself stays.

    Raises:
        ValueError: If the number of workers, or of batches that each has ahead, is none.
    """
    chosen: dict[str, Any] = dict(pin_memory=torch.cuda.is_available()) | loader
    given = chosen.get('num_workers', 0)
    chosen['num_workers'] = workers = number_of_workers(given)
    ahead = chosen.get('prefetch_factor')
    if ahead is not None and not _is_number(ahead, least=1):
        raise ValueError(f'prefetch_factor is {ahead!r}, expected a number of at least 1, or None for 2 of each worker')
    if given == AUTO:
        chosen.setdefault('prefetch_factor', max(2, READY // workers))
        print_log(
            f'{workers} data workers, {chosen["prefetch_factor"]} batches ahead each: {num_cores()} cores for '
            f'{local_processes()} processes on this machine',
            'current',
        )
    return chosen
