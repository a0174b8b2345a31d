"""A progress bar with the time left, where a person is watching."""

import sys
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mmtsf.registry import HOOKS


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """Draw a bar for the whole training, and one for each validation or test, if a terminal is attached."""

    def __init__(self) -> None:
        self.bars: dict[str, Progress] = {}

    def before_train(self, runner: Runner) -> None:
        self._start('train', runner.max_iters, runner.iter)

    def after_train(self, runner: Runner) -> None:
        self._stop('train')

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        if mode != 'train':
            self._stop('train')
            loop = runner.val_loop if mode == 'val' else runner.test_loop
            self._start(mode, len(loop.dataloader), 0)

    def _after_epoch(self, runner: Runner, mode: str = 'train') -> None:
        if mode != 'train':
            self._stop(mode)

    def _after_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None, mode: str = 'train'
    ) -> None:
        if mode == 'train' and mode not in self.bars:  # after a validation
            self._start('train', runner.max_iters, runner.iter)
        if mode in self.bars:
            self.bars[mode].update(self.bars[mode].task_ids[0], advance=1)

    def _start(self, mode: str, total: int, done: int) -> None:
        if not (sys.stdout.isatty() and is_main_process()):
            return
        columns = (
            TextColumn(mode),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn('left'),
            TimeRemainingColumn(),
        )
        self.bars[mode] = Progress(*columns, transient=True)
        self.bars[mode].start()
        self.bars[mode].add_task(mode, total=total, completed=done)

    def _stop(self, mode: str) -> None:
        if mode in self.bars:
            self.bars.pop(mode).stop()
