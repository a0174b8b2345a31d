"""Import MMEngine and MMAction2 without what takes seconds and serves few."""

import gc
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Packages that MMEngine 0.10.7 tries to import to register optimizers, and does without where they are missing
OF_OPTIMIZERS = ('transformers', 'bitsandbytes', 'dadaptation', 'lion_pytorch', 'Sophia')
#: Another, for one class; it brings PyTorch's sharded tensors and sympy along
ZERO = 'torch.distributed.optim'


@contextmanager
def for_prediction() -> Iterator[None]:
    """Import inside what a process needs that trains nothing: in less than half of the time.

    MMEngine and MMAction2 are imported as if packages for optimizers were not installed, and without SciPy's
    statistics; all of it can be imported afterwards, but those optimizers are not registered. What is imported stays,
    so no garbage is looked for meanwhile.
    """
    with _without(*OF_OPTIMIZERS, ZERO):
        yield


@contextmanager
def for_training() -> Iterator[None]:
    """Import inside what a training needs: in half of the time. :data:`mmtsf.registry.OPTIMIZERS` registers those of
    other packages when a config names one."""
    with _without(*OF_OPTIMIZERS):
        yield


def register_optimizers() -> None:
    """Register the optimizers of other packages that are not registered yet, as MMEngine does when it is imported."""
    from mmengine.optim.optimizer import builder

    for name in ('transformers', 'bitsandbytes', 'dadaptation', 'lion', 'sophia'):
        known = getattr(builder, f'{name.upper()}_OPTIMIZERS')
        if not known:
            known.extend(getattr(builder, f'register_{name}_optimizers')())


@contextmanager
def _without(*names: str) -> Iterator[None]:
    if 'mmaction' in sys.modules:  # everything is there
        yield
        return
    gc.disable()
    try:
        with _absent(names):
            import mmengine.optim  # noqa: F401
        with _later_statistics():
            import mmaction.datasets  # noqa: F401
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _absent(names: tuple[str, ...]) -> Iterator[None]:
    """Let modules that are not imported yet be missing inside."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # what is None there cannot be imported
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def _later_statistics() -> Iterator[None]:
    """Import :func:`scipy.stats.mode` when it is called: MMAction2 1.2.0 imports it, for skeletons alone."""
    if 'scipy.stats' in sys.modules:
        yield
        return

    def mode(*args: Any, **kwargs: Any) -> Any:
        from scipy import stats

        return stats.mode(*args, **kwargs)

    sys.modules['scipy.stats'] = later = types.ModuleType('scipy.stats')
    later.mode = mode  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del sys.modules['scipy.stats']
