"""Read a config file, choose its recipe, change it by options and resolve its references."""

import os
from pathlib import Path

from mmengine.config import Config

from .checks import change, refuse_options_through_references
from .lineage import bases
from .recipes import SLOT, exchange_recipe, left_by_a_run, recipe_is, recipe_path
from .references import resolve
from .shipped import config_path, from_file


def load_config(path: str | Path, options: dict | None = None) -> Config:
    """Read a config file, change it by ``options``, and put the values in the place of references to them.

    Args:
        path (str | Path): Path of a config, or the name of a shipped one, ``'mmtsf::timesformer_base_k400.py'``.
        options (dict, optional): Values by dotted keys, as from ``--cfg-options``; ``recipe`` is the name or path of
            a recipe. Defaults to None.

    Raises:
        FileNotFoundError: If there is no such config or recipe.
        KeyError: If a reference names nothing.
        ValueError: If an option or a key has no effect, or its word is of an older config, or values refer to each
            other in a circle.
    """
    return resolve(read_config(path, options), [name for name in options or {} if name != 'recipe'])


def read_config(path: str | Path, options: dict | None = None) -> Config:
    """Read a config file with its recipe and change it by ``options``; its references stay.

    Raises:
        FileNotFoundError: If there is no such config or recipe.
        ValueError: If the config is empty, or has no place for a recipe, or an option leads through a reference.
    """
    file, changes = config_path(path), dict(options or {})
    asked = changes.get('recipe')
    config = _with_recipe(file, (os.environ.get(SLOT) or None) if asked is None else asked)
    if not config.to_dict():
        raise ValueError(f'the config {path} is empty: it has no model; begin with _base_ = a shipped config')
    recipe = changes.pop('recipe', config.get('recipe'))
    if recipe is not None:
        config = _with_recipe(file, recipe) if asked is None else config
        if SLOT not in config.env_variables and not bases(file) and left_by_a_run(config):
            config = exchange_recipe(config, recipe)
        elif SLOT not in config.env_variables:
            raise ValueError(
                f'recipe={recipe} has no place in {path}: none of the files it inherits from lists a recipe that can '
                f"be exchanged, '{{{{${SLOT}:_base_/schedules/paper.py}}}}' among its bases; a config that was "
                'resolved has none, give the one that the run was started with'
            )
    config.pop('recipe', None)
    refuse_options_through_references(config.to_dict(), changes)
    change(config, changes)
    return config


def _with_recipe(file: Path, recipe: str | None) -> Config:
    with recipe_is(None if recipe is None else recipe_path(recipe).resolve()):
        return from_file(file)
