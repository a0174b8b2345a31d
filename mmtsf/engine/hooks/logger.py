"""Log curves; one that cannot be written does not end the run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine import hooks
from mmengine.runner import Runner

from mmtsf.registry import HOOKS


@HOOKS.register_module()
class LoggerHook(hooks.LoggerHook):
    """MMEngine's hook, for which curves that cannot be written, as on a full disk, are an error in the log alone.

    Takes the arguments of :class:`mmengine.hooks.LoggerHook`.
    """

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        with _named_in_the_log(runner):
            super().after_train_iter(runner, *args, **kwargs)

    def after_val_epoch(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        with _named_in_the_log(runner):
            super().after_val_epoch(runner, *args, **kwargs)


@contextmanager
def _named_in_the_log(runner: Runner) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        runner.logger.error(f'the curves of this iteration cannot be written: {error}')
