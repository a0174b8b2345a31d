"""When checkpoints are written, and how many are kept."""

import time
from pathlib import Path
from typing import Any

from mmengine import hooks
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.runner import Runner

from mmtsf.engine.runner.checkpoint_files import PART, steps
from mmtsf.registry import HOOKS


@HOOKS.register_module()
class CheckpointHook(hooks.CheckpointHook):
    """MMEngine's hook, which also writes every so many minutes or iterations and never removes what it still needs.

    Old checkpoints are removed after a new one is on the disk, not before, as MMEngine does. Those with higher numbers
    are of an earlier run, and stay.

    Args:
        minutes (float, optional): Minutes between checkpoints within an epoch, ``iter_N.pth``. Defaults to None: none.
        iterations (int, optional): Iterations between them. Defaults to None: none.
        max_keep_ckpts (int): Checkpoints of epochs to keep, -1 for all; of those within an epoch two are kept, should
            the last be damaged. Defaults to -1.
        interval (int): Epochs between checkpoints. Defaults to 1.
        save_best (str, optional): Metric whose best checkpoint is kept, too, ``'auto'`` for the first. Defaults to
            None.
        rule (str, optional): ``'greater'`` or ``'less'`` is better. Defaults to None: by the metric's name.
        save_begin (int): First epoch to write one. Defaults to 0.
        save_optimizer (bool): Whether checkpoints can be resumed from. Defaults to True.
        save_param_scheduler (bool): The same. Defaults to True.
    """

    best_ckpt_path: str | None

    def __init__(
        self,
        minutes: float | None = None,
        iterations: int | None = None,
        max_keep_ckpts: int = -1,
        interval: int = 1,
        save_best: str | None = None,
        rule: str | None = None,
        save_begin: int = 0,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
    ) -> None:
        super().__init__(  # which keeps all: they are removed here
            interval,
            save_best=save_best,
            rule=rule,
            save_begin=save_begin,
            save_optimizer=save_optimizer,
            save_param_scheduler=save_param_scheduler,
        )
        self.minutes = minutes
        self.iterations = iterations
        self.keep = max_keep_ckpts or -1
        self.last_time = time.monotonic()
        self.last_iter = 0  # when last_ckpt was written

    def before_train(self, runner: Runner) -> None:
        """Begin at the checkpoint that is resumed, and remove what a killed run left half written."""
        super().before_train(runner)
        if runner._resume:
            self.last_ckpt, self.last_iter = runner._load_from, runner.iter
        if is_main_process():
            for part in Path(self.out_dir).glob(f'*{PART}'):
                part.unlink()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Write a checkpoint if it is due, between two updates of the weights, the last of which was not skipped."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        wrapper = runner.optim_wrapper
        between = wrapper.should_update() and not getattr(wrapper, 'skipped', False)
        if between and not self.is_last_train_iter(runner) and self._is_due(runner):
            self.save_within_epoch(runner)

    def _is_due(self, runner: Runner) -> bool:
        due = [self.iterations is not None and (runner.iter + 1) % self.iterations == 0]
        if self.minutes is not None:
            due[0] |= time.monotonic() - self.last_time > 60 * self.minutes
            broadcast_object_list(due)  # the main process has the clock
        return due[0]

    def save_within_epoch(self, runner: Runner) -> None:
        """Write ``iter_N.pth``, and keep the one before it."""
        if self._write(runner, f'iter_{runner.iter + 1}.pth', by_epoch=False, meta=None):
            self._remove_but('iter', 2, runner.iter + 1)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        if self._write(runner, self.filename_tmpl.format(step), self.by_epoch, meta):
            self._remove_but('epoch' if self.by_epoch else 'iter', self.keep, step)
            if self.by_epoch:
                self._remove_but('iter', 0, runner.iter)

    def _write(self, runner: Runner, name: str, by_epoch: bool, meta: dict | None) -> bool:
        """Whether the checkpoint was written."""
        meta = meta or dict(epoch=runner.epoch, iter=runner.iter + 1)
        states = dict(save_optimizer=self.save_optimizer, save_param_scheduler=self.save_param_scheduler)
        runner.save_checkpoint(self.out_dir, name, meta=meta, by_epoch=by_epoch, **states)
        self.last_time = time.monotonic()
        if getattr(runner, 'unsaved', None):
            return False
        self.last_ckpt, self.last_iter = str(Path(self.out_dir, name)), meta['iter']
        return True

    def _remove_but(self, kind: str, number: int, last: int) -> None:
        """Remove all but ``number`` checkpoints up to the ``last``."""
        if number < 0 or not is_main_process():
            return
        found = steps(Path(self.out_dir), kind)
        for step in sorted((step for step in found if step <= last), reverse=True)[number:]:
            found[step].unlink()

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Remove the best so far when a better one is on the disk; then the epoch's checkpoint is told of it."""
        if not self.save_best or len(self.key_indicators) > 1:
            super()._save_best_checkpoint(runner, metrics)
            return
        before, last, known = self.best_ckpt_path, self.last_ckpt, dict(runner.message_hub.runtime_info)
        self.best_ckpt_path = self.last_ckpt = None  # MMEngine removes nothing, and writes the best alone
        super()._save_best_checkpoint(runner, metrics)
        best, self.last_ckpt = self.best_ckpt_path, last
        self.best_ckpt_path = best or before
        if best and getattr(runner, 'unsaved', None):
            runner.message_hub.runtime_info.update(known)
            self.best_ckpt_path = before
        elif best:
            if before and before != best and Path(before).parent == Path(best).parent and is_main_process():
                Path(before).unlink(missing_ok=True)
            step = runner.epoch if self.by_epoch else runner.iter
            self._save_checkpoint_with_step(runner, step, dict(epoch=runner.epoch, iter=runner.iter))

    def after_train(self, runner: Runner) -> None:
        """Say where the weights are.

        Raises:
            RuntimeError: If the last checkpoint could not be written.
        """
        super().after_train(runner)
        if unsaved := getattr(runner, 'unsaved', None):
            raise RuntimeError(f'training is at its end, but {unsaved}; then go on with --resume')
