"""Count the cores that this process may use."""

import os


def num_cores() -> int:
    """Cores that this process may use: fewer than the machine has under Slurm, taskset or in a container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
