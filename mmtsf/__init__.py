"""TimeSformer as an MMAction2-style codebase: the paper's five attention schemes and three variants.

Importing it takes no time and changes nothing for others: MMEngine imports :mod:`mmtsf.registry`, and with it what a
config can name, when it looks up the first name of this scope.
"""

from typing import Any

__version__ = '0.1.0'


def __getattr__(name: str) -> Any:
    """``mmtsf.Runner``, by which ``runner_type`` finds it from any registry; it is imported when it is asked for."""
    if name == 'Runner':
        from .engine.runner import Runner

        return Runner
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
