"""When checkpoints are written, and how many are kept."""

import re
import time
from pathlib import Path
from typing import Any

from mmengine import hooks
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.runner import Runner

from mmtsf.registry import HOOKS


@HOOKS.register_module()
class CheckpointHook(hooks.CheckpointHook):
    """MMEngine's hook, which also writes every so many minutes or iterations and never removes what it still needs.

    Old checkpoints are removed after a new one is on the disk, not before, as MMEngine does.

    Args:
        minutes (float, optional): Minutes between checkpoints within an epoch, ``iter_N.pth``. Defaults to None: none.
        iterations (int, optional): Iterations between them. Defaults to None: none.
        max_keep_ckpts (int): Checkpoints of epochs to keep, -1 for all; within epochs it is one. Defaults to -1.
        kwargs: Of :class:`mmengine.hooks.CheckpointHook`.
    """

    def __init__(
        self, minutes: float | None = None, iterations: int | None = None, max_keep_ckpts: int = -1, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)  # which keeps all: they are removed here
        self.minutes = minutes
        self.iterations = iterations
        self.keep = max_keep_ckpts
        self.last_time = time.monotonic()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Write a checkpoint if it is due, between two updates of the weights."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        updated = runner.optim_wrapper._inner_count % runner.optim_wrapper._accumulative_counts == 0
        if updated and not self.is_last_train_iter(runner) and self._is_due(runner):
            self.save_within_epoch(runner)

    def _is_due(self, runner: Runner) -> bool:
        due = [self.iterations is not None and (runner.iter + 1) % self.iterations == 0]
        if self.minutes is not None:
            due[0] |= time.monotonic() - self.last_time > 60 * self.minutes
            broadcast_object_list(due)  # the main process has the clock
        return due[0]

    def save_within_epoch(self, runner: Runner) -> None:
        """Write ``iter_N.pth``, and remove the one before it."""
        self._write(runner, f'iter_{runner.iter + 1}.pth', by_epoch=False, meta=None)
        self._remove_but('iter', 1)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        self._write(runner, self.filename_tmpl.format(step), self.by_epoch, meta)
        self._remove_but('epoch' if self.by_epoch else 'iter', self.keep)
        if self.by_epoch:
            self._remove_but('iter', 0)

    def _write(self, runner: Runner, name: str, by_epoch: bool, meta: dict | None) -> None:
        states = dict(save_optimizer=self.save_optimizer, save_param_scheduler=self.save_param_scheduler)
        runner.save_checkpoint(self.out_dir, name, meta=meta, by_epoch=by_epoch, **states)
        self.last_time = time.monotonic()
        if not getattr(runner, 'unsaved', None):
            self.last_ckpt = str(Path(self.out_dir, name))

    def _remove_but(self, kind: str, number: int) -> None:
        if number < 0 or not is_main_process():
            return
        found = {int(match[1]): path for path in Path(self.out_dir).iterdir() if (match := _named(kind, path))}
        kept = Path(self.last_ckpt).name if self.last_ckpt else ''
        for step in sorted(found, reverse=True)[number:]:
            if found[step].name != kept:
                found[step].unlink()

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Remove the best so far when a better one is on the disk."""
        before, self.best_ckpt_path = getattr(self, 'best_ckpt_path', None), None
        super()._save_best_checkpoint(runner, metrics)
        if self.best_ckpt_path is None:
            self.best_ckpt_path = before
        elif before and before != self.best_ckpt_path and Path(self.best_ckpt_path).exists() and is_main_process():
            Path(before).unlink(missing_ok=True)

    def after_train(self, runner: Runner) -> None:
        """Say where the weights are.

        Raises:
            RuntimeError: If the last checkpoint could not be written.
        """
        super().after_train(runner)
        if unsaved := getattr(runner, 'unsaved', None):
            raise RuntimeError(f'training is at its end, but {unsaved}; then go on with --resume')


def _named(kind: str, path: Path) -> re.Match | None:
    return re.fullmatch(rf'{kind}_(\d+)\.pth', path.name)
