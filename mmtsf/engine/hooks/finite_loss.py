"""Stop a training when too many of its losses are not finite."""

import math
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import get_world_size, is_distributed
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtsf import compat
from mmtsf.registry import HOOKS

from .broken_videos import sample_infos
from .checkpoint import last_checkpoint


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Name the videos of a batch whose loss or gradient is not finite, and stop when there were too many.

    The optimizer wrappers of mmtsf have left the weights as they were, see :class:`FiniteUpdates`; with others the
    first such batch has spoilt them, and ends the run.

    Args:
        max_skips (int): Such batches that a run may have. Defaults to 10.
    """

    def __init__(self, max_skips: int = 10) -> None:
        self.max_skips = max_skips
        self.skips = 0
        self.videos: list[str | None] = []  # since the last update
        self.good: str | None = None  # checkpoint from which an update was made

    def before_train(self, runner: Runner) -> None:
        """Take the checkpoint that is resumed for good: its weights were looked at."""
        self.good = compat.resumed_checkpoint(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Look at the update.

        Raises:
            RuntimeError: If more than ``max_skips`` were not finite, or one was that the wrapper has not skipped.
        """
        wrapper, videos = runner.optim_wrapper, [info.get('filename') for info in sample_infos(data_batch)]
        loss = (outputs or {}).get('loss', torch.zeros(())).detach()
        if not hasattr(wrapper, 'skipped'):
            self._see_to_spoilt_weights(runner, float(loss), videos)
            return
        self.videos += videos
        if wrapper.skipped:
            self._name(runner, float(loss), self.videos if loss.isfinite() else videos)
        if wrapper.should_update():
            self.videos = []
            if not wrapper.skipped:
                self.good = last_checkpoint(runner)

    def _see_to_spoilt_weights(self, runner: Runner, loss: float, videos: list[str | None]) -> None:
        if not math.isfinite(loss):
            raise RuntimeError(
                f'the loss of iteration {runner.iter + 1} is {loss}, of {videos}, and the weights are spoilt; '
                f"{self._where()}; optim_wrapper.type='mmtsf.OptimWrapper' skips such updates"
            )
        self.good = last_checkpoint(runner)

    def _where(self) -> str:
        return f'the last good checkpoint is {self.good}' if self.good else 'there is no good checkpoint'

    def _name(self, runner: Runner, loss: float, videos: list[str | None]) -> None:
        self.skips += 1
        found: list = [(loss, videos)]
        if is_distributed():
            mine, found = found[0], [None] * get_world_size()
            dist.all_gather_object(found, mine)
        for loss, videos in found:
            runner.logger.warning(f'iteration {runner.iter + 1} is skipped: loss {loss}, a gradient of {videos}')
        if self.skips > self.max_skips:
            raise RuntimeError(
                f'{self.skips} updates were not finite, more than the {self.max_skips} of finite_loss.max_skips; '
                f'{self._where()}; a lower learning rate or clip_grad may help'
            )
