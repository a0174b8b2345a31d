"""Losses that are no numbers."""

import math
from typing import Any

import torch.distributed as dist
from mmengine.dist import get_world_size, is_distributed
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtsf.registry import HOOKS

from .checkpoint import CheckpointHook


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Name the videos of a batch whose loss or gradient is not finite, and stop when there were too many.

    The optimizer wrapper has left the weights as they were, see :class:`FiniteUpdates`.

    Args:
        max_skips (int): Such batches that a run may have. Defaults to 10.
    """

    def __init__(self, max_skips: int = 10) -> None:
        self.max_skips = max_skips
        self.skips = 0
        self.videos: list[str] = []  # since the last update
        self.good: str | None = None  # checkpoint from which an update was made

    def before_train(self, runner: Runner) -> None:
        """Take the checkpoint that is resumed for good: its weights were looked at."""
        self.good = runner._load_from if runner._resume else None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Look at the update.

        Raises:
            RuntimeError: If more than ``max_skips`` were not finite.
        """
        wrapper = runner.optim_wrapper
        videos = [sample.metainfo.get('filename') for sample in data_batch['data_samples']]
        self.videos += videos
        if wrapper.skipped:
            loss = float(outputs['loss']) if outputs else math.nan
            self._name(runner, loss, self.videos if math.isfinite(loss) else videos)
        if wrapper.should_update():
            self.videos = []
            if not wrapper.skipped:
                self.good = _last_checkpoint(runner)

    def _name(self, runner: Runner, loss: float, videos: list[str]) -> None:
        self.skips += 1
        found: list = [(loss, videos)]
        if is_distributed():
            mine, found = found[0], [None] * get_world_size()
            dist.all_gather_object(found, mine)
        for loss, videos in found:
            runner.logger.warning(f'iteration {runner.iter + 1} is skipped: loss {loss}, a gradient of {videos}')
        if self.skips > self.max_skips:
            good = f'the last good checkpoint is {self.good}' if self.good else 'there is no good checkpoint'
            raise RuntimeError(
                f'{self.skips} updates were not finite, more than the {self.max_skips} of finite_loss.max_skips; '
                f'{good}; a lower learning rate or clip_grad may help'
            )


def _last_checkpoint(runner: Runner) -> str | None:
    return next((hook.last_ckpt for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
