"""Leaving when the machine is wanted for something else."""

import signal
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import is_distributed
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtsf.registry import HOOKS

#: Exit code of a run that wants to be started again with ``--resume``
EXIT_CODE = 75
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM or SIGUSR1 to any process write a checkpoint after the iteration and leave with code 75."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.asked = False
        self._group: Any = None

    def before_train(self, runner: Runner) -> None:
        for number in SIGNALS:
            signal.signal(number, self._note)
        if is_distributed():
            self._group = dist.new_group(backend='gloo')  # of CPUs: asking every iteration does not wait for the GPU

    def _note(self, number: int, frame: Any) -> None:
        self.asked = True

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Leave.

        Raises:
            SystemExit: With code 75, after a checkpoint.
        """
        wrapper = runner.optim_wrapper
        if wrapper._inner_count % wrapper._accumulative_counts or not self._anyone_asked():
            return
        hook = next(hook for hook in runner.hooks if hasattr(hook, 'save_within_epoch'))
        hook.save_within_epoch(runner)
        runner.logger.warning(f'stopped by a signal; --resume goes on from {hook.last_ckpt}')
        raise SystemExit(EXIT_CODE)

    def _anyone_asked(self) -> bool:
        if self._group is None:
            return self.asked
        asked = torch.tensor(int(self.asked))
        dist.all_reduce(asked, dist.ReduceOp.MAX, group=self._group)
        return bool(asked)
