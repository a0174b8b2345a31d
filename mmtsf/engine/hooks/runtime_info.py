"""Log what the model tells of an iteration, without waiting for the device."""

from typing import Any

from mmengine import hooks
from mmengine.runner import Runner

from mmtsf.engine.scalars import log_later
from mmtsf.registry import HOOKS


@HOOKS.register_module()
class RuntimeInfoHook(hooks.RuntimeInfoHook):
    """MMEngine's hook, which fetches losses and accuracies when the log is written, see :func:`log_later`."""

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        for name, value in (outputs or {}).items():
            log_later(runner.message_hub, f'train/{name}', value)
