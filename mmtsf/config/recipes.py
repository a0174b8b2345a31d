"""Recipes: ways to train, laid over any config by a word, ``--cfg-options recipe=modern``."""

import difflib
from pathlib import Path

from mmengine.config import Config

from .shipped import config_path

#: What a recipe brings as a whole: of the config's own nothing is left
SCHEDULE = (
    'auto_scale_lr',
    'custom_hooks',
    'global_batch_size',
    'lr',
    'max_epochs',
    'optim_wrapper',
    'param_scheduler',
)


def load_with_recipe(path: Path, options: dict) -> Config:
    """Read a config file, with the recipe that the options or the file itself name.

    A recipe of the options changes whatever the config file says. One of a config file changes what the file inherits;
    what the file itself says stays.

    Args:
        path (Path): Path of the config file.
        options (dict): Values by dotted keys; ``recipe`` is a name of ``configs/_base_/recipes``, a path or None.

    Raises:
        FileNotFoundError: If there is no such recipe.
        ValueError: If no value of the config refers to another, so that a recipe would change a part alone, or the file
            names a recipe and inherits by ``read_base()``.

    Returns:
        Config: The config, without ``recipe``.
    """
    config = Config.fromfile(path)
    name = options.get('recipe', config.get('recipe'))
    if name is not None:
        values = Config.fromfile(recipe_path(name))
        values.pop('recipe', None)
        if '${' not in str(config.to_dict()):
            raise ValueError(
                f'recipe={name} cannot be laid over {path}: its values refer to nothing, as those of the config that a '
                'run leaves in its work dir; lay it over the config that the run was started with'
            )
        if 'recipe' in options:
            config = Config(_lay_over(config._cfg_dict, values))
        else:
            config = _load_between(path, name, values)
    config.pop('recipe', None)
    return config


def _lay_over(config: dict, recipe: Config) -> dict:
    """A config's values changed by a recipe's."""
    kept = {key: value for key, value in config.items() if key not in SCHEDULE}
    return Config._merge_a_into_b(recipe.to_dict(), kept)


def _load_between(path: Path, name: str, recipe: Config) -> Config:
    """A config file, with the recipe between what the file that names it says and what that file inherits."""
    if Config._is_lazy_import(str(path)):
        raise ValueError(f'recipe={name} in {path} needs `_base_` instead of read_base(); or pass it as an option')
    merge = Config._merge_a_into_b  # MMEngine lays a file's values over those of its bases with it

    def merge_over_recipe(own: dict, bases: dict, *more: bool) -> dict:
        return merge(own, _lay_over(bases, recipe) if own.get('recipe') == name else bases, *more)

    Config._merge_a_into_b = staticmethod(merge_over_recipe)
    try:
        return Config.fromfile(path)
    finally:
        Config._merge_a_into_b = staticmethod(merge)


def recipe_path(recipe: str) -> Path:
    """Path of a recipe's file.

    Args:
        recipe (str): Name of a shipped one, or a path.

    Raises:
        FileNotFoundError: If there is none.
    """
    if str(recipe).endswith('.py'):
        return config_path(recipe)
    shipped = recipe_names()
    if recipe not in shipped:
        close = difflib.get_close_matches(str(recipe), shipped, n=1)
        hint = f'did you mean {close[0]!r}?' if close else f'known are {", ".join(sorted(shipped))}, or a path'
        raise FileNotFoundError(f'there is no recipe {recipe!r}; {hint}')
    return shipped[recipe]


def recipe_names() -> dict[str, Path]:
    """Files of the shipped recipes by their names."""
    folder = config_path('mmtsf::_base_/recipes/paper.py').parent
    return {path.stem: path for path in sorted(folder.glob('*.py'))}
