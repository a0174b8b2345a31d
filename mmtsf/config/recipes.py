"""Find recipes, which are schedules that another one can take the place of: ``--cfg-options recipe=modern``.

A config lists its recipe as ``'{{$MMTSF_RECIPE:_base_/schedules/paper.py}}'`` among its bases: MMEngine puts the value
of that environment variable there, or what stands behind the colon. :func:`mmtsf.config.load_config` sets it.
"""

import difflib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .shipped import config_path

#: Environment variable with the file of the recipe
SLOT = 'MMTSF_RECIPE'


def recipe_path(recipe: str) -> Path:
    """Path of a recipe's file.

    Args:
        recipe (str): Name of a shipped one, or a path.

    Raises:
        FileNotFoundError: If there is none.
    """
    if str(recipe).endswith(('.py', '.yaml', '.yml', '.json')):
        return config_path(recipe)
    shipped = recipe_names()
    if recipe not in shipped:
        close = difflib.get_close_matches(str(recipe), shipped, n=1)
        hint = f'did you mean {close[0]!r}?' if close else f'known are {", ".join(sorted(shipped))}, or a path'
        raise FileNotFoundError(f'there is no recipe {recipe!r}; {hint}')
    return shipped[recipe]


def recipe_names() -> dict[str, Path]:
    """Files of the shipped recipes by their names."""
    words = words_path()
    return {path.stem: path for path in sorted(words.parent.glob('*.py')) if path != words}


def words_path() -> Path:
    """Path of the words of a recipe with their usual values."""
    return config_path('mmtsf::_base_/schedules/words.py')


@contextmanager
def recipe_is(file: Path | str | None) -> Iterator[None]:
    """Inside, configs that are read have this file in the place of their recipe; None is the one that they list."""
    before, disabled = os.environ.pop(SLOT, None), logging.root.manager.disable
    if file is not None:
        os.environ[SLOT] = str(file)
    logging.disable(max(disabled, logging.INFO))  # MMEngine names the variable for every file that it reads
    try:
        yield
    finally:
        logging.disable(disabled)
        os.environ.pop(SLOT, None)
        if before is not None:
            os.environ[SLOT] = before
