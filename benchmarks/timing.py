"""Time functions side by side."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds_of(function: Callable[[], object], calls: int = 1) -> float:
    """Return the seconds of a call; of several, one after the other, their mean."""
    synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        function()
    synchronize()
    return (time.perf_counter() - start) / calls


def medians(functions: Mapping[str, Callable[[], object]], rounds: int, calls: int = 1) -> dict[str, float]:
    """Return the median seconds of interleaved calls, after two warm-up calls.

    Args:
        functions (Mapping[str, Callable]): What to time, by name.
        rounds (int): Times of each.
        calls (int): Calls that are timed together, for those of a GPU that take less time than to launch them.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds + 2):
        for name, function in functions.items():
            seconds = seconds_of(function, calls if turn > 1 else 1)
            if turn > 1:
                times[name].append(seconds)
    return {name: statistics.median(measured) for name, measured in times.items()}


def median(function: Callable[[], object], rounds: int) -> float:
    """Return the median seconds of a function's calls, after two warm-up calls."""
    return medians({'': function}, rounds)['']
