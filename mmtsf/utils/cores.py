"""Count the cores that this process may use, and those it shares them with."""

import math
import os

from .control_groups import cpu_limits


def num_cores() -> int:
    """Return the number of cores that this process may use; Slurm, taskset and containers limit it.

    A container's share of processor time counts as so many cores, rounded up.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return min([allowed, *(max(math.ceil(limit), 1) for limit in cpu_limits())])


def local_processes() -> int:
    """Return the number of processes that torchrun has started on this machine for this run; 1 without it."""
    return int(os.environ.get('LOCAL_WORLD_SIZE', 1))
