"""How fast a training is, what it waits for and what memory it takes, by some iterations of the training itself."""

import multiprocessing
import resource
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.hooks import Hook

from mmtsf.engine.runner.runner import Runner


class Done(Exception):
    """Enough iterations have been measured."""


class Synchronize(Hook):
    """An iteration is over when the GPU is done with it: before MMEngine's timer stops.

    Args:
        numbers (Collection[int], optional): Iterations, counted from 1, for which this holds. Defaults to None: all.
    """

    priority = 'VERY_HIGH'

    def __init__(self, numbers: Collection[int] | None = None) -> None:
        self.numbers = numbers

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available() and (self.numbers is None or runner.iter + 1 in self.numbers):
            torch.cuda.synchronize()


class Stop(Hook):
    """End the run after ``iters`` iterations, and look at the memory of the data workers while they live.

    Args:
        iters (int): Number of iterations.
    """

    priority = 'LOWEST'

    def __init__(self, iters: int) -> None:
        self.left = iters
        self.clips = 0
        self.workers: list[float] = []

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.clips = max(self.clips, len(data_batch['inputs']))
        self.left -= 1
        if not self.left:
            self.workers = list(worker_memory())
            raise Done


@dataclass(frozen=True)
class Iterations:
    """What was measured of a training.

    Args:
        seconds (np.ndarray): Of each iteration.
        waiting (np.ndarray): The part of each before its batch was there.
        clips (int): Clips of an iteration in this process.
        workers (list[float]): Peak memory of the data workers, MB, see :func:`worker_memory`.
    """

    seconds: np.ndarray
    waiting: np.ndarray
    clips: int
    workers: list[float]

    @property
    def clips_a_second(self) -> float:
        """Of all processes."""
        return get_world_size() * self.clips * len(self.seconds) / self.seconds.sum()

    @property
    def waiting_share(self) -> float:
        """Share of the time that goes by before batches are there."""
        return self.waiting.sum() / self.seconds.sum()


def without_traces(config: Config, work_dir: str, iters: int) -> None:
    """Change the config of a training to have ``iters`` iterations at least, no validation and no checkpoint."""
    config.work_dir = work_dir
    config.train_cfg.max_epochs = max(config.train_cfg.max_epochs, iters + 1)  # one has an iteration at least
    config.train_cfg.val_interval = config.train_cfg.max_epochs + 1
    config.default_hooks.checkpoint = None
    config.default_hooks.param_scheduler = None  # a schedule may end before that


def measure(runner: Runner, iters: int, warm_up: int, ends: Collection[int] | None = None) -> Iterations:
    """Train for some iterations.

    Args:
        runner (Runner): Of a config that went through :func:`without_traces`.
        iters (int): Iterations in all.
        warm_up (int): The first of them, which are not counted.
        ends (Collection[int], optional): Iterations, counted from 1, that end when the GPU is done with them; others
            run ahead of it as in a training, so that only the time between two of these is a GPU's. Defaults to None:
            all.

    Raises:
        RuntimeError: If the run ends by itself before.
    """
    stop = Stop(iters)
    runner.register_hook(Synchronize(ends))
    runner.register_hook(stop)
    try:
        runner.train()
    except Done:
        clocks = (runner.message_hub.get_scalar(f'train/{name}').data[0] for name in ('time', 'data_time'))
        seconds, waiting = (np.asarray(clock[warm_up:iters]) for clock in clocks)
        return Iterations(seconds, waiting, stop.clips, stop.workers)
    raise RuntimeError(f'the run ended by itself before {iters} iterations')


def peak_memory() -> dict[str, float]:
    """Peak of this process, and of its GPU if it has one, MB."""
    unit = 1e-6 if sys.platform == 'darwin' else 1.024e-3
    peaks = {'main process': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if torch.cuda.is_available():
        peaks['GPU'] = torch.cuda.max_memory_allocated() / 1e6
    return peaks


def resident_memory(name: str = 'VmRSS', pid: int | str = 'self', file: str = 'status') -> float:
    """Memory of a process now, or with ``'VmHWM'`` its peak, or another line of a file of ``/proc``, MB; on Linux."""
    return int(Path(f'/proc/{pid}/{file}').read_text().split(f'{name}:')[1].split()[0]) * 1.024e-3


def peak_growth(work: Callable[[], object]) -> float:
    """Memory that this process takes at the peak of some work beyond what it has before, MB; on Linux."""
    Path('/proc/self/clear_refs').write_text('5')  # the peak begins anew
    before = resident_memory()
    work()
    return resident_memory('VmHWM') - before


def worker_memory() -> Iterator[float]:
    """Peak memory of each data worker, MB; of what processes share, as a fork does, each has its part alone."""
    for process in multiprocessing.active_children():
        if Path(f'/proc/{process.pid}/smaps_rollup').is_file():  # on Linux
            now, part = (resident_memory(name, process.pid or 'self', 'smaps_rollup') for name in ('Rss', 'Pss'))
            yield resident_memory('VmHWM', process.pid or 'self') - now + part
