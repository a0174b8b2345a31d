"""Leaving when the machine is wanted for something else."""

import os
import signal
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import is_distributed
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtsf.registry import HOOKS

from .checkpoint import CheckpointHook

#: Exit code of a run that wants to be started again with ``--resume``
EXIT_CODE = 75
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM or SIGUSR1 to any process write a checkpoint after the iteration and leave with code 75.

    Validation is left at once where the weights are in a checkpoint already.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.asked = False
        self._group: Any = None

    def before_train(self, runner: Runner) -> None:
        for number in SIGNALS:
            signal.signal(number, self._note)
        os.register_at_fork(after_in_child=_leave_to_the_main_process)
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
        if runner.optim_wrapper.should_update() and self._anyone_asked():
            _checkpoints(runner).save_within_epoch(runner)
            if self._group is not None:
                dist.barrier(self._group)  # the launcher ends all processes when the first one has left
            self._leave(runner)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Leave, without asking the other processes, which may have fewer videos; their launcher ends them.

        Raises:
            SystemExit: With code 75.
        """
        if self.asked and _checkpoints(runner).last_iter == runner.iter:
            self._leave(runner)

    def _leave(self, runner: Runner) -> None:
        runner.logger.warning(f'stopped by a signal; --resume goes on from {_checkpoints(runner).last_ckpt}')
        raise SystemExit(EXIT_CODE)

    def _anyone_asked(self) -> bool:
        if self._group is None:
            return self.asked
        asked = torch.tensor(int(self.asked))
        dist.all_reduce(asked, dist.ReduceOp.MAX, group=self._group)
        return bool(asked)


def _checkpoints(runner: Runner) -> CheckpointHook:
    return next(hook for hook in runner.hooks if isinstance(hook, CheckpointHook))


def _leave_to_the_main_process() -> None:
    """Data workers, which may get the signal as well: when they end is not theirs to say."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
