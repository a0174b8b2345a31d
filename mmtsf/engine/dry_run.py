"""A training tried for a few iterations: what it will take, and what to change if that is too much."""

import os
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, islice, repeat

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from torch.utils.data import DataLoader

from mmtsf.config import resolve
from mmtsf.datasets.loading import number_of_workers
from mmtsf.engine.runner import Runner
from mmtsf.engine.runner.batch import set_batch
from mmtsf.engine.runner.precision import WRAPPERS, set_precision
from mmtsf.utils.control_groups import memory_limits
from mmtsf.utils.cores import local_processes, num_cores
from mmtsf.utils.text import counted

from .profiling import Iterations, measure, peak_memory, without_traces
from .summary import training_summary

#: Iterations before and while the clock counts: the first ones warm up, and make the optimizer's states
WARM_UP, COUNTED = 2, 2
#: Share of the time that a training may wait for data, and of the memory that it may take, without a word
TOLERATED_WAITING, TOLERATED_MEMORY = 0.1, 0.9
#: What errors say where a CPU's memory is short
NO_CPU_MEMORY = ('DefaultCPUAllocator', 'Cannot allocate memory')


@dataclass(frozen=True)
class Forecast:
    """What a training will take.

    Args:
        compute (float): Seconds of an iteration beside its data.
        seconds (float): Seconds of an iteration.
        clips (int): Clips of an iteration in all processes.
        iterations (int): Iterations to the end.
    """

    compute: float
    seconds: float
    clips: int
    iterations: int

    @property
    def waiting_share(self) -> float:
        return 1 - self.compute / self.seconds

    @property
    def clips_a_second(self) -> float:
        return self.clips / self.seconds

    @property
    def time_left(self) -> timedelta:
        """To the end of the training, without validation."""
        return timedelta(seconds=round(self.iterations * self.seconds))


def dry_run(config: Config) -> Iterator[str]:
    """Build all that a training builds and train for a few iterations, in a work dir that is removed.

    Args:
        config (Config): Config of a run, in any state.

    Yields:
        str: Lines to print.

    Raises:
        ValueError: If the training is not one of so many epochs.
    """
    trial = try_out(config)
    yield from trial.summary
    yield from report(trial.forecast, trial.workers)
    yield from advice(trial.config, trial.forecast, memory_share(trial.workers))


@dataclass(frozen=True)
class Trial:
    """What a few iterations of a training have shown.

    Args:
        config (Config): Its config, changed for them.
        summary (list[str]): The lines that it begins with.
        forecast (Forecast): What it will take.
        workers (list[float]): Peak memory of its data workers, MB.
    """

    config: Config
    summary: list[str]
    forecast: Forecast
    workers: list[float]


def try_out(config: Config) -> Trial:
    """Train for a few iterations, in a work dir that is removed.

    Raises:
        ValueError: If the training is not one of so many epochs.
    """
    config = resolve(config)
    if 'max_epochs' not in (config.get('train_cfg') or {}):
        raise ValueError(
            f'train_cfg is {config.get("train_cfg")!r}, but --dry-run needs max_epochs; name a loop over epochs'
        )
    said = [set_batch(config), set_precision(config)]
    epochs = config.train_cfg.max_epochs
    # gradients that wait take memory: two batches an update show it, however many there are
    steps = config.optim_wrapper.get('accumulative_counts', 1)
    config.optim_wrapper.accumulative_counts = min(steps, 2)
    config.log_level = 'ERROR'
    with tempfile.TemporaryDirectory() as folder:
        without_traces(config, folder, WARM_UP + COUNTED)
        try:
            runner = Runner.from_cfg(config)
            runner.cfg.train_cfg.max_epochs, runner.chosen = epochs, said
            runner.register_hook(summary := Summary())
            pace = pace_of(runner.train_dataloader)
            measured = measure(runner, WARM_UP + COUNTED, WARM_UP)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise SystemExit('\n'.join([f'out of memory: {error}', *memory_advice(config)])) from error
    iterations = epochs * len(runner.train_dataloader) - (runner.iter - WARM_UP - COUNTED + 1)
    return Trial(config, summary.lines, forecast_of(measured, pace, iterations), measured.workers)


class Summary(Hook):
    """Keep the lines that a training begins with."""

    def before_train(self, runner: Runner) -> None:
        self.lines = list(training_summary(runner))


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory is short: on a GPU, on a CPU, or in a data worker."""
    known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return known or any(words in str(error) for words in NO_CPU_MEMORY)


def forecast_of(measured: Iterations, pace: float, iterations: int) -> Forecast:
    """Forecast for a data loader that makes a batch every ``pace`` seconds where nothing else holds it up.

    The first iterations use up what was loaded ahead, so they wait less than later ones."""
    compute = float((measured.seconds - measured.waiting).mean())
    seconds = max(float(measured.seconds.mean()), pace)
    return Forecast(compute, seconds, measured.clips * get_world_size(), iterations)


def pace_of(loader: DataLoader) -> float:
    """Seconds from batch to batch once all workers are at it: each makes one batch before, and one meanwhile."""
    batches: Iterable = chain.from_iterable(repeat(loader))  # epoch after epoch
    number = max(loader.num_workers, 1)
    deque(islice(batches, number), maxlen=0)
    start = time.perf_counter()
    deque(islice(batches, number), maxlen=0)
    return (time.perf_counter() - start) / number


def report(forecast: Forecast, workers: list[float]) -> Iterator[str]:
    """The figures, a line each."""
    for owner, peak in peak_memory().items():
        yield f'peak memory, {owner}: {peak:.0f} of {total_memory(owner):.0f} MB'
    if workers:
        of = f'largest of {len(workers)} data workers' if len(workers) > 1 else 'the data worker'
        yield f'peak memory, {of}: {max(workers):.0f} MB'
    yield f'clips a second: {forecast.clips_a_second:.1f}'
    yield f'of the time waiting for data: {forecast.waiting_share:.0%}'
    yield f'time to the end: {forecast.time_left} for {counted(forecast.iterations, "iteration")}, without validation'


def briefly(forecast: Forecast, workers: list[float]) -> Iterator[str]:
    """The figures as parts of one line."""
    peaks = [f'{owner} {peak:.0f} MB' for owner, peak in peak_memory().items()]
    peaks += [f'data worker {max(workers):.0f} MB'] if workers else []
    yield f'{forecast.clips_a_second:.1f} clips/s'
    yield f'{forecast.waiting_share:.0%} waiting for data'
    yield f'peak memory {", ".join(peaks)}'
    yield f'left {forecast.time_left} without validation'


def total_memory(owner: str) -> float:
    """Memory of this process's GPU or of the machine, MB; a container's or a job's where it may take less."""
    if owner == 'GPU':
        return torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory / 1e6
    return min([os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'), *memory_limits()]) / 1e6


def memory_share(workers: list[float]) -> float:
    """Share of the memory that is taken: of the GPU's, or without one of the machine's by all of its processes."""
    peaks = peak_memory()
    if 'GPU' in peaks:
        return peaks['GPU'] / total_memory('GPU')
    return local_processes() * (peaks['main process'] + sum(workers)) / total_memory('main process')


def advice(config: Config, forecast: Forecast, memory: float) -> Iterator[str]:
    """What to change where data or memory is short; ``memory`` is the share that is taken."""
    if forecast.waiting_share > TOLERATED_WAITING:
        yield 'data is the bottleneck; what helps:'
        workers, cores = number_of_workers(config.train_dataloader.num_workers), num_cores()
        if workers * local_processes() < cores:
            yield f'  train_dataloader.num_workers={workers + 1} or more: there are {cores} cores'
        yield '  mmtsf transcode VIDEOS NEW_FOLDER: videos that decode faster, see docs/data.md'
        yield '  data.clips_per_video=2 or more, with a smaller train_dataloader.batch_size: clips of one decoding'
    if memory > TOLERATED_MEMORY:
        yield from memory_advice(config)


def memory_advice(config: Config) -> Iterator[str]:
    """What takes less memory than this config."""
    yield 'memory is short; what helps:'
    if not config.model.backbone.get('with_cp'):
        yield '  model.backbone.with_cp=True: blocks are computed again in the backward pass'
    if (batch := config.train_dataloader.batch_size) > 1:
        yield f'  train_dataloader.batch_size={batch // 2}: accumulation makes up for it'
    if config.optim_wrapper.type == WRAPPERS['off']:
        yield '  --amp: computes in bfloat16'
    if config.get('parallel', 'ddp') == 'ddp':
        yield '  parallel=fsdp: several processes share out weights, gradients and optimizer states'
