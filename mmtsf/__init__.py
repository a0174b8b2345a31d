"""TimeSformer as an MMAction2-style codebase: the paper's five attention schemes and three variants.

Importing it takes no time and changes nothing for others: MMEngine imports :mod:`mmtsf.registry`, and with it what a
config can name, when it looks up the first name of this scope.
"""

from importlib import import_module
from typing import Any

__version__ = '0.1.0'


#: What is imported when it is asked for, and where it is
LAZY = {
    'Runner': 'engine.runner',
    'from_pretrained': 'apis.pretrained',
    'get_config': 'zoo',
    'get_model': 'zoo',
    'list_models': 'zoo',
}


def __getattr__(name: str) -> Any:
    """Import ``mmtsf.Runner``, by which ``runner_type`` finds it from any registry, and functions of the zoo."""
    if name in LAZY:
        return getattr(import_module(f'.{LAZY[name]}', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*globals(), *LAZY})
