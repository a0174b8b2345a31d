"""Save and exit when the job is preempted or interrupted."""

import inspect
import os
import signal
import threading
from functools import cache
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import is_distributed, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from mmtsf.engine.runner.mirror import PREEMPTED
from mmtsf.registry import HOOKS
from mmtsf.utils.signals import EXIT_CODES

from .checkpoint import CheckpointHook, is_between_updates, last_checkpoint, mirror_of


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM, SIGUSR1 or Ctrl-C to any process write a checkpoint after the iteration and leave, with code 75, or
    130 after Ctrl-C. A second Ctrl-C interrupts at once.

    Validation is left at once where the weights are in a checkpoint already.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.asked = 0  # the exit code, if asked to leave
        self._before: dict[signal.Signals, Any] = {}
        self._group: Any = None
        self._checkpoints: CheckpointHook | None = None

    def before_train(self, runner: Runner) -> None:
        """Take the signals over, if the checkpoint hook can write where one comes."""
        self._checkpoints = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        if self._checkpoints is None:
            runner.logger.warning(
                "PreemptionHook needs mmtsf's CheckpointHook and finds another one, or none: a signal ends the run "
                "without a checkpoint; set default_hooks.checkpoint.type='mmtsf.CheckpointHook'"
            )
            return
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self.note) for number in EXIT_CODES}
            _register_at_fork()
        if is_distributed():
            self._group = dist.new_group(backend='gloo')  # of CPUs: asking every iteration does not wait for the GPU

    def after_train(self, runner: Runner | None = None) -> None:
        """Give signals their meaning of before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def note(self, number: int, frame: FrameType | None) -> None:
        """Note a signal; a second Ctrl-C interrupts. After a training that failed it means what it did before."""
        if not _is_training(frame):
            self.after_train()
            os.kill(os.getpid(), number)
            return
        if number == signal.SIGINT and self.asked:
            raise KeyboardInterrupt
        self.asked = max(self.asked, EXIT_CODES[signal.Signals(number)])

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Leave.

        Raises:
            SystemExit: After a checkpoint.
        """
        if self._checkpoints is None:
            return
        if is_between_updates(runner) and (code := self._asked_of_anyone()):
            self._checkpoints.save_within_epoch(runner)
            self._checkpoints.wait(runner)
            copy_out(runner)
            if self._group is not None:
                dist.barrier(self._group)  # the launcher ends all processes when the first one has left
            self._leave(runner, code)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Leave, without asking the other processes, which may have fewer videos; their launcher ends them.

        Raises:
            SystemExit: Where no training would be lost.
        """
        checkpoints = self._checkpoints
        if checkpoints and self.asked and checkpoints.last_iter == runner.iter and checkpoints.has_written(runner):
            copy_out(runner)
            self._leave(runner, self.asked)

    def _leave(self, runner: Runner, code: int) -> None:
        runner.logger.warning(f'stopped by a signal; --resume goes on from {last_checkpoint(runner)}')
        raise SystemExit(code)

    def _asked_of_anyone(self) -> int:
        if self._group is None:
            return self.asked
        asked = torch.tensor(self.asked)
        dist.all_reduce(asked, dist.ReduceOp.MAX, group=self._group)
        return int(asked)


def copy_out(runner: Runner) -> None:
    """Copy the work dir to its address, if it has one, for the short time that is left; the log says what is not."""
    if (mirror := mirror_of(runner)) and is_main_process():
        mirror.finish(PREEMPTED)


def _is_training(frame: FrameType | None) -> bool:
    """Whether a training loop runs in a frame or in one that called it."""
    while frame is not None:
        if frame.f_code.co_name == 'run' and isinstance(frame.f_locals.get('self'), BaseLoop):
            return True
        frame = frame.f_back
    return False


@cache
def _register_at_fork() -> None:
    os.register_at_fork(after_in_child=_leave_to_the_main_process)


def _leave_to_the_main_process() -> None:
    """Data workers, which may get the signal as well: when they end is not theirs to say."""
    is_ours = getattr(signal.getsignal(signal.SIGINT), '__func__', None) is PreemptionHook.note
    if not is_ours or not _is_training(inspect.currentframe()):
        return
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in (signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
