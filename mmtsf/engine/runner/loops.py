"""Train by epochs, beginning in the middle of one if need be."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from mmtsf import compat
from mmtsf.datasets.loading.video_loader import VideoLoader
from mmtsf.registry import LOOPS

#: What a checkpoint that was written after a validation says of it: the epoch
VALIDATED = 'validated_epoch'


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """MMEngine's loop over epochs that goes on at the very iteration where a resumed run was.

    Where accumulation does not divide the epoch, its last batches are an update of their own, by the mean of their
    gradients: no checkpoint is written while gradients wait, in whatever process.

    Takes the arguments of :class:`mmengine.runner.EpochBasedTrainLoop`.

    Raises:
        ValueError: If the sampler never ends an epoch.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(self.dataloader.sampler, InfiniteSampler):
            raise ValueError(
                'InfiniteSampler never ends an epoch; set train_dataloader.sampler.type to SeededSampler or '
                "DefaultSampler, or train_cfg=dict(_delete_=True, type='IterBasedTrainLoop', max_iters=...)"
            )

    def run(self) -> nn.Module:
        """Train."""
        self.runner.call_hook('before_train')
        is_held = self.runner.message_hub.get_info(VALIDATED) == self._epoch
        if self._iter > 0 and self._batches_done == 0 and not is_held:
            self._validate()  # the run that is resumed may have ended before or within it
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate()
        self.runner.call_hook('after_train')
        return self.runner.model

    def stop(self) -> None:
        """End the training after this iteration, as if its epoch, which is validated and saved, were the last."""
        self.stop_training, self._max_epochs = True, self._epoch + 1

    @property
    def _batches_done(self) -> int:
        """Of the current epoch."""
        return self._iter - self._epoch * len(self.dataloader)

    def run_epoch(self) -> None:
        """Train what is left of the epoch."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done = self._batches_done
        if done < len(self.dataloader) and compat.accumulates(self.runner.optim_wrapper):
            self.runner.optim_wrapper.initialize_count_status(self.runner.model, done, len(self.dataloader))
        for index, batch in enumerate(self._batches_from(done), done):
            self.run_iter(index, batch)
            if self.stop_training:
                self._iter = (self._epoch + 1) * len(self.dataloader)  # the rest counts as done, for who resumes
                break
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _batches_from(self, first: int) -> Iterable:
        """Batches of the epoch from number ``first`` on; a data loader that cannot begin there reads those before."""
        if isinstance(self.dataloader, VideoLoader):
            self.dataloader.first_batch = first
            return self.dataloader
        return islice(self.dataloader, first, None)

    def _validate(self) -> None:
        self._decide_current_val_interval()
        due = self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
        if self.runner.val_loop is not None and self._epoch >= self.val_begin and due:
            self.runner.message_hub.update_info(VALIDATED, self._epoch)  # for the checkpoint of a new best
            self.runner.val_loop.run()
