"""Count the cores that this process may use."""

import os


def num_cores() -> int:
    """Return the number of cores that this process may use; Slurm, taskset and containers limit it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
