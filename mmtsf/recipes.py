"""Recipes: ways to train, laid over any config by a word, ``--cfg-options recipe=modern``."""

import ast
import difflib
from pathlib import Path

from mmengine.config import Config

from .hub import config_path

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


def lay_over(config: Config, options: dict) -> tuple[Config, dict]:
    """Lay the recipe that the options or the config name over the config.

    A recipe of the options changes whatever the config file says. One of a config file changes what the file inherits;
    what the file itself says stays.

    Args:
        config (Config): Config as read from its file.
        options (dict): Values by dotted keys; ``recipe`` is a name of ``configs/_base_/recipes``, or a config's path.

    Raises:
        FileNotFoundError: If there is no such recipe.

    Returns:
        tuple[Config, dict]: The config, and the options without ``recipe``.
    """
    recipe = options.get('recipe', config.get('recipe'))
    config.pop('recipe', None)
    if recipe is not None:
        own = [] if 'recipe' in options else _own_values(Path(config.filename))
        for key in SCHEDULE:
            config.pop(key, None)
        for values in [Config.fromfile(recipe_path(recipe)), *own]:
            config.merge_from_dict({key: value for key, value in values.to_dict().items() if key != 'recipe'})
    return config, {key: value for key, value in options.items() if key != 'recipe'}


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


def _own_values(path: Path) -> list[Config]:
    """What the file that names a recipe says itself, then what each of its heirs says, down to ``path``."""
    body = ast.parse(path.read_text()).body
    bases = [node for node in body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '_base_']
    own = Config.fromstring(ast.unparse(ast.Module([node for node in body if node not in bases], [])), '.py')
    if 'recipe' in own:
        return [own]
    for node in bases:
        named = ast.literal_eval(node.value)
        for base in [named] if isinstance(named, str) else named:
            if above := _own_values(config_path(base) if '::' in base else path.parent / base):
                return [*above, own]
    return []
