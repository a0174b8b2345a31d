"""Losses that are no numbers."""

from typing import Any

import torch.distributed as dist
from mmengine.dist import get_world_size, is_distributed
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtsf.registry import HOOKS


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

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Look at the update.

        Raises:
            RuntimeError: If more than ``max_skips`` were not finite.
        """
        if not runner.optim_wrapper.skipped:
            return
        self.skips += 1
        loss = float(outputs['loss']) if outputs else float('nan')
        found: list = [(loss, [sample.metainfo.get('filename') for sample in data_batch['data_samples']])]
        if is_distributed():
            mine, found = found[0], [None] * get_world_size()
            dist.all_gather_object(found, mine)
        for loss, videos in found:
            runner.logger.warning(f'iteration {runner.iter + 1} is skipped: loss {loss}, a gradient of {videos}')
        if self.skips > self.max_skips:
            hook = next((hook for hook in runner.hooks if hasattr(hook, 'save_within_epoch')), None)
            raise RuntimeError(
                f'{self.skips} updates were not finite, more than the {self.max_skips} of finite_loss.max_skips; the '
                f'last good checkpoint is {hook and hook.last_ckpt}; a lower learning rate or clip_grad may help'
            )
