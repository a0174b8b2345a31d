"""Stop a training when too many of its losses are not finite."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine import hooks
from mmengine.dist import get_world_size, is_distributed
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmtsf import compat
from mmtsf.engine.runner import Runner as OurRunner
from mmtsf.engine.scalars import fetch
from mmtsf.registry import HOOKS

from .broken_videos import sample_infos
from .checkpoint import is_ours, last_checkpoint

Videos = list[str | None]
#: Iterations that may wait, however seldom the log is written
MOST = 100


@dataclass(frozen=True)
class Iteration:
    """One that is not looked at yet.

    Args:
        number (int): Its number, from 1 on.
        loss (Tensor): Its loss, on the device.
        not_finite (Tensor, optional): Whether its update is skipped; None if the wrapper skips none.
        videos (list): Of its batch.
        all_videos (list): Of all batches of its update so far.
        is_update (bool): Whether it completes an update.
        checkpoint (str, optional): The last one before it.
    """

    number: int
    loss: Tensor
    not_finite: Tensor | None
    videos: Videos
    all_videos: Videos
    is_update: bool
    checkpoint: str | None


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Name the videos of a batch whose loss or gradient is not finite, and stop when there were too many.

    The optimizer wrappers of mmtsf have left the weights as they were, see :class:`OptimWrapper`; with others the
    first such batch has spoilt them, and ends the run.

    Our runner's iterations are looked at when the log is written, before each validation and checkpoint and at the end:
    an iteration does not wait for the device. MMEngine's, which does not tell all hooks of checkpoints, at once.

    Args:
        max_skips (int): Such batches that a run may have. Defaults to 10.
    """

    def __init__(self, max_skips: int = 10) -> None:
        self.max_skips = max_skips
        self.skips = 0
        self.interval = 1
        self.waiting: list[Iteration] = []
        self.videos: Videos = []  # since the last update
        self.good: list[str] = []  # checkpoints from which updates were made

    def before_train(self, runner: Runner) -> None:
        """Take the checkpoint that is resumed for good: its weights were looked at."""
        resumed = compat.resumed_checkpoint(runner)
        self.good = [resumed] if resumed else []
        if isinstance(runner, OurRunner):
            loggers = [hook.interval for hook in runner.hooks if isinstance(hook, hooks.LoggerHook)]
            self.interval = min([*loggers, MOST])

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Note the iteration; look at the last ones if the log is written.

        Raises:
            RuntimeError: See :meth:`look`.
        """
        wrapper, videos = runner.optim_wrapper, [info.get('filename') for info in sample_infos(data_batch)]
        loss = torch.as_tensor((outputs or {}).get('loss', 0.0)).detach()  # a step of one's own may give a number
        self.videos = self.videos + videos
        is_update = not hasattr(wrapper, 'not_finite') or wrapper.should_update()
        not_finite = getattr(wrapper, 'not_finite', None)
        self.waiting.append(
            Iteration(runner.iter + 1, loss, not_finite, videos, self.videos, is_update, last_checkpoint(runner))
        )
        if is_update:
            self.videos = []
        if self.every_n_inner_iters(batch_idx, self.interval):
            self.look(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        self.look(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        self.look(runner)

    def before_checkpoint(self, runner: Runner) -> None:
        """Of our runner, in all processes: a state that is written is one that was looked at."""
        self.look(runner)

    def after_train(self, runner: Runner) -> None:
        self.look(runner)

    def look(self, runner: Runner) -> None:
        """Look at the iterations that are waiting, in one transfer from the device.

        Raises:
            RuntimeError: If more than ``max_skips`` were not finite, or one was that the wrapper has not skipped.
        """
        waiting, self.waiting = self.waiting, []
        marks = [torch.zeros(()) if it.not_finite is None else it.not_finite for it in waiting]
        numbers = fetch([*(it.loss for it in waiting), *marks])
        for iteration, loss, skipped in zip(waiting, numbers, numbers[len(waiting) :]):
            if iteration.not_finite is None and not math.isfinite(loss):
                raise RuntimeError(
                    f'the loss of iteration {iteration.number} is {loss}, of {iteration.videos}, and the weights are '
                    f"spoilt; {self._where(runner)}; optim_wrapper.type='mmtsf.OptimWrapper' skips such updates"
                )
            if skipped:
                self._name(runner, iteration, loss)
            elif iteration.is_update and iteration.checkpoint and iteration.checkpoint not in self.good[-1:]:
                self.good.append(iteration.checkpoint)

    def _where(self, runner: Runner) -> str:
        """The last good checkpoint that is on the disk, once nothing is being written."""
        if is_ours(runner):
            runner.finish_writing()  # in this process alone: the others may have no error
        written = [path for path in self.good if '://' in path or Path(path).is_file()]
        return f'the last good checkpoint is {written[-1]}' if written else 'there is no good checkpoint'

    def _name(self, runner: Runner, iteration: Iteration, loss: float) -> None:
        self.skips += 1
        found: list = [(loss, iteration.all_videos if math.isfinite(loss) else iteration.videos)]
        if is_distributed():
            mine, found = found[0], [None] * get_world_size()
            dist.all_gather_object(found, mine)
        for loss, videos in found:
            runner.logger.warning(f'iteration {iteration.number} is skipped: loss {loss}, a gradient of {videos}')
        if self.skips > self.max_skips:
            if is_ours(runner):
                runner.wait_for_checkpoints()  # all processes are here
            raise RuntimeError(
                f'{self.skips} updates were not finite, more than the {self.max_skips} of finite_loss.max_skips; '
                f'{self._where(runner)}; a lower learning rate or clip_grad may help'
            )
