"""Check before the first trial that every word of a search changes the config, and that a child config can say it."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import init_default_scope

from mmtsf.config import load_config, read_config
from mmtsf.config.references import merged
from mmtsf.registry import MODELS
from mmtsf.utils.arguments import parsed
from mmtsf.utils.sources import PREFIX, config_path

from .space import Dimension

#: The word that chooses a file, and is no value of a config
RECIPE = 'recipe'


def check_space(config: str, fixed: list[str], space: Sequence[Dimension], folder: Path) -> dict:
    """Load the config with the ends of every range and with every choice.

    Args:
        config (str): Config.
        fixed (list[str]): ``KEY=VALUE`` words of all trials.
        space (Sequence[Dimension]): What is searched.
        folder (Path): Folder for a config that is tried.

    Raises:
        FileNotFoundError: If there is no such recipe.
        ValueError: If a word is of no config, or has no effect, or nothing would be validated.

    Returns:
        dict: The values of the config with the first choices, or lowest values, of all words.
    """
    recipes = next((dimension.choices for dimension in space if dimension.name == RECIPE), ())
    if not recipes and (ranged := [dimension for dimension in space if dimension.name == RECIPE]):
        raise ValueError(f'--search has {ranged[0]}, expected names of recipes, as recipe=paper,modern')
    for recipe in recipes or (None,):
        chosen = [*fixed, *([] if recipe is None else [f'{RECIPE}={recipe}'])]
        _check_names(config, chosen, [dimension for dimension in space if dimension.name != RECIPE])
    first = [*fixed, *(f'{dimension.name}={dimension.ends()[0]}' for dimension in space)]
    values = load_config(config, parsed(first)).to_dict()
    _check_validation(values)
    _check_child(config, first, values, folder)
    return values


def _check_names(config: str, fixed: list[str], space: list[Dimension]) -> None:
    """Load the config with the first ends of all words, then with the second ones, and so on."""
    written = read_config(config, parsed(fixed)).to_dict()
    for ends in itertools.zip_longest(*(dimension.ends() for dimension in space)):
        words = [
            f'{dimension.name}={dimension.ends()[-1] if end is None else end}' for dimension, end in zip(space, ends)
        ]
        resolved = load_config(config, parsed([*fixed, *words]))
    for dimension in space:
        if _lacks(written, dimension.name) and not _builds(resolved, dimension.name):
            told = f' with {fixed[-1]}' if fixed and fixed[-1].startswith(f'{RECIPE}=') else ''
            raise ValueError(
                f'--search has {dimension.name}, and {config}{told} has no such word; mmtsf config {config} shows '
                'those that there are'
            )


def _lacks(values: Any, name: str) -> bool:
    """Return whether a config has nothing at a dotted name; behind a reference, what resolves it has looked."""
    for key in name.split('.'):
        if isinstance(values, str) and '${' in values:
            return False
        if not isinstance(values, dict) or key not in values:
            return True
        values = values[key]
    return False


def _builds(config: Any, name: str) -> bool:
    """Return whether a word that no file writes is an argument of the model, which is built without memory."""
    if not name.startswith('model.'):
        return False
    init_default_scope(config.get('default_scope') or 'mmtsf')
    with torch.device('meta'):
        try:
            MODELS.build(config.model)
        except TypeError:
            return False
    return True


def _check_validation(values: dict) -> None:
    train = values.get('train_cfg') or {}
    epochs, interval = train.get('max_epochs'), train.get('val_interval', 1)
    if not values.get('val_dataloader') or (isinstance(epochs, int) and interval > epochs):
        raise ValueError(
            f'nothing would be validated: max_epochs is {epochs}, train_cfg.val_interval {interval}, and a search '
            'needs the score of a validation'
        )


def _check_child(config: str, words: list[str], values: dict, folder: Path) -> None:
    """Refuse words that a child config cannot say, as items of a list: the best config will be one."""
    trial = folder / 'child.py'
    try:
        trial.write_text(child_config(config, words))
        same = load_config(trial).to_dict() == values
    finally:
        trial.unlink(missing_ok=True)
    if not same:
        raise ValueError(
            f'the words {", ".join(words)} say something else in a child config, as items of a list do; write a child '
            'config with words of its own for what is searched'
        )


def child_config(config: str, words: list[str]) -> str:
    """Return the text of a config that inherits from another one, and says the same as ``KEY=VALUE`` words do."""
    values: dict = {}
    for name, value in parsed(words).items():
        *above, last = name.split('.')
        inner: Any = {last: value}
        for key in reversed(above):
            inner = {key: inner}
        values = merged(values, inner)
    base = config if config.startswith(PREFIX) else str(config_path(config).resolve())
    return '\n'.join([f'_base_ = {base!r}', *(f'{name} = {value!r}' for name, value in values.items()), ''])
