"""Say what a run is, what it will take and how each epoch went; curves that cannot be written do not end the run."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from mmengine import hooks
from mmengine.dist import get_world_size, is_main_process
from mmengine.runner import Runner

from mmtsf.engine.dry_run import COUNTED, WARM_UP, Forecast, briefly
from mmtsf.engine.profiling import worker_memory
from mmtsf.engine.summary import by_epoch, score_words, test_summary, training_summary
from mmtsf.registry import HOOKS
from mmtsf.utils.screen import ON_SCREEN
from mmtsf.visualization.figures import EPOCH_LOSS

from .broken_videos import BrokenVideosHook

#: Seconds after which the screen gets a line within an epoch
SILENCE = 600


@HOOKS.register_module()
class LoggerHook(hooks.LoggerHook):
    """MMEngine's hook, whose lines go to the log file; the screen gets a summary, then a line an epoch.

    Curves that cannot be written, as on a full disk, are an error in the log alone. Takes the arguments of
    :class:`mmengine.hooks.LoggerHook`.
    """

    #: When the screen got its last line, and the line of an epoch that validation may add to
    said_at, line = 0.0, ''
    #: Iterations since the start of this process, and when the counted ones began
    seen, begun = 0, 0.0

    def before_train(self, runner: Runner) -> None:
        """Say what is trained, and open the runs of trackers, whose names are known by now."""
        self._begin(runner, training_summary)
        if hasattr(runner.visualizer, 'begin'):
            runner.visualizer.begin()

    def before_test(self, runner: Runner) -> None:
        """Say what is tested."""
        self._begin(runner, test_summary)

    def _begin(self, runner: Runner, summary: Callable[[Runner], Iterator[str]]) -> None:
        for line in summary(runner) if is_main_process() else ():
            self._say(runner, line)
        self._say(runner, f'log: {runner.logger.log_file}')

    def before_train_epoch(self, runner: Runner) -> None:
        """Say how the epoch before went, if validation has not said it."""
        self._say(runner, self.line)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Log at intervals, say what the first iterations foretell, and give a sign of life in a long epoch."""
        with named_in_the_log(runner):
            super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if self.seen < WARM_UP + COUNTED and is_main_process():
            self._foretell(runner, data_batch)
        if time.monotonic() - self.said_at > SILENCE:
            self._say(runner, _progress(runner, ends=False))

    def _foretell(self, runner: Runner, batch: Any) -> None:
        """Time the first iterations, and say what the training will take."""
        self.seen += 1
        if self.seen not in (WARM_UP, WARM_UP + COUNTED):
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now, left = time.perf_counter(), runner.max_iters - runner.iter - 1
        if self.seen == WARM_UP or not left:
            self.begun = now
            return
        seconds = (now - self.begun) / COUNTED
        waiting = min(runner.message_hub.get_scalar('train/data_time').mean(COUNTED), seconds)
        clips = len(batch['inputs']) if isinstance(batch, dict) else 0
        forecast = Forecast(seconds - waiting, seconds, clips * get_world_size(), left)
        words = [*briefly(forecast, list(worker_memory())), *_broken(runner)]
        self._say(runner, f'after {self.seen} iterations: {"; ".join(words)}')

    def after_train_epoch(self, runner: Runner) -> None:
        """Note how it went, and log the mean loss of the epoch for its curve."""
        history = runner.message_hub.log_scalars.get('train/loss')
        if by_epoch(runner) and history is not None:
            with named_in_the_log(runner):
                mean = float(history.mean(len(runner.train_dataloader)))
                runner.visualizer.add_scalars({EPOCH_LOSS: mean}, step=runner.epoch + 1)
        self.line = _progress(runner, ends=True)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log the metrics, and say them with the epoch's line."""
        with named_in_the_log(runner):
            super().after_val_epoch(runner, metrics)
        self._say(runner, f'{self.line or "validation"}  {score_words(metrics or {})}')

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log the metrics, and say them."""
        super().after_test_epoch(runner, metrics)
        self._say(runner, score_words(metrics or {}))

    def after_train(self, runner: Runner) -> None:
        """Say how the last epoch went, if validation has not said it."""
        self._say(runner, self.line)

    def _say(self, runner: Runner, line: str) -> None:
        if line:
            runner.logger.info(line, extra=ON_SCREEN)
            self.said_at, self.line = time.monotonic(), ''


def _progress(runner: Runner, ends: bool) -> str:
    """How far a training is, its loss and rate, and the time left; no process waits for another here."""
    done = runner.iter + (not ends)
    words = [f'epoch {runner.epoch + 1}/{runner.max_epochs}'] if by_epoch(runner) else []
    if not (ends and by_epoch(runner)):
        words.append(f'iteration {done}/{runner.max_iters}')
    history = runner.message_hub.log_scalars
    if 'train/loss' in history:
        words.append(f'loss {history["train/loss"].mean(len(runner.train_dataloader)):.4g}')
    if 'train/lr' in history:
        words.append(f'lr {history["train/lr"].current():.3g}')
    if (left := runner.message_hub.runtime_info.get('eta')) is not None:
        words.append(f'left {timedelta(seconds=round(left))}')
    return '  '.join(words)


def _broken(runner: Runner) -> Iterator[str]:
    """How many of the videos drawn so far were broken."""
    for hook in runner.hooks:
        if isinstance(hook, BrokenVideosHook) and hook.seen:
            yield f'broken: {hook.drawn_broken} of {hook.seen} videos so far'


@contextmanager
def named_in_the_log(runner: Runner) -> Iterator[None]:
    """Log inside: where that fails, the log file says so, and training goes on."""
    try:
        yield
    except OSError as error:
        runner.logger.error(f'the curves of this iteration cannot be written: {error}')
