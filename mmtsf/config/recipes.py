"""Find recipes, which are schedules that another one can take the place of: ``--cfg-options recipe=modern``.

A config lists its recipe as ``'{{$MMTSF_RECIPE:_base_/schedules/paper.py}}'`` among its bases: MMEngine puts the value
of that environment variable there, or what stands behind the colon. :func:`mmtsf.config.load_config` sets it.
"""

import difflib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .shipped import config_path, from_file

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


def usual_words() -> dict:
    """Read the words of a recipe with their usual values."""
    return _read_words().to_dict()


@cache
def _read_words() -> Config:
    return Config.fromfile(words_path())


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


def left_by_a_run(config: Config) -> bool:
    """Return whether a config without bases is one that a run has left: with references, also to its recipe's words."""
    return isinstance(config.get('training'), dict) and '${training.' in str(config.to_dict())


def exchange_recipe(config: Config, recipe: str) -> Config:
    """Return a config that a run has left with another recipe in the place of its own.

    Its own is the shipped one whose values it has most of. What differs from that was chosen, and stays.

    Args:
        config (Config): See :func:`left_by_a_run`.
        recipe (str): Name of a shipped recipe, or a path.

    Raises:
        ValueError: If its own is none of them.
    """
    values, new = config.to_dict(), from_file(recipe_path(recipe)).to_dict()
    olds = [from_file(path).to_dict() for path in recipe_names().values()]
    old = min(olds, key=lambda old: _num_others(values, old))
    if 3 * _num_others(values, old) > _num_others({}, old):
        raise ValueError(
            f'recipe={recipe} cannot take the place of the recipe in {config.filename}, which is none of '
            f'{", ".join(recipe_names())}; give the config that the run was started with'
        )
    changed = _exchanged({key: values[key] for key in old if key in values}, old, new)
    kept = {key: value for key, value in values.items() if key not in old and key not in new}
    also = {key: values[key] for key in new if key not in old and key in values}
    return Config(kept | changed | also, cfg_text=config.text, filename=config.filename)


def _exchanged(now: dict, old: dict, new: dict) -> dict:
    """Return ``new`` with those values of ``now`` that are not of ``old``."""
    result = dict(new)
    for key, value in now.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
            result[key] = _exchanged(value, old[key], new[key])
        elif key not in old or value != old[key]:
            result[key] = value
    return result


def _num_others(values: Any, old: Any) -> int:
    """Count the values of a recipe that are not those of a config."""
    if isinstance(old, dict):
        values = values if isinstance(values, dict) else {}
        return sum(_num_others(values.get(key, ...), value) for key, value in old.items())
    return int(values != old)
