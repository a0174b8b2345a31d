"""Check before the first trial that every word of a search changes the config, and that a child config can say it."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmtsf.config import load_config, read_config, resolve, settle
from mmtsf.config.references import merged
from mmtsf.utils.arguments import check_data_root, check_start, parsed
from mmtsf.utils.mistakes import plain
from mmtsf.utils.sources import PREFIX, config_path

from .check_trial import MISTAKES, builds, check_trial, types_in
from .space import Dimension

#: The word that chooses a file, and is no value of a config
RECIPE = 'recipe'
#: Names of words on which it depends what is read
OF_DATA = re.compile(r'(^|[.])data([.]|$)|dataloader|dataset')


def check_space(
    config: str,
    fixed: list[str],
    space: Sequence[Dimension],
    folder: Path,
    metric: str | None = None,
    alone: bool = True,
) -> dict:
    """Load the config with the ends of every range and with every choice, and check what a training would refuse.

    Args:
        config (str): Config.
        fixed (list[str]): ``KEY=VALUE`` words of all trials.
        space (Sequence[Dimension]): What is searched.
        folder (Path): Folder for a config that is tried.
        metric (str, optional): Score of a validation. Defaults to None: its first.
        alone (bool): Whether a trial is one process. Defaults to True.

    Raises:
        OSError: If there is no such recipe, or there are none of a choice's data.
        ValueError: If a word is of no config, or has no effect, or a choice cannot be trained or validated.

    Returns:
        dict: The values of the config with the first choices, or lowest values, of all words.
    """
    recipes = next((dimension.choices for dimension in space if dimension.name == RECIPE), ())
    if not recipes and (ranged := [dimension for dimension in space if dimension.name == RECIPE]):
        raise ValueError(f'--search has {ranged[0]}, expected names of recipes, as recipe=paper,modern')
    others = [dimension for dimension in space if dimension.name != RECIPE]
    for recipe in recipes or (None,):
        chosen = [*fixed, *([] if recipe is None else [f'{RECIPE}={recipe}'])]
        _check_words(config, chosen, others, metric, alone)
    first = [*fixed, *(f'{dimension.name}={dimension.ends()[0]}' for dimension in space)]
    values = load_config(config, parsed(first)).to_dict()
    _check_child(config, first, values, folder)
    return values


def _check_words(config: str, fixed: list[str], space: list[Dimension], metric: str | None, alone: bool) -> None:
    """Load the config with the first ends of all words, then with the second ones, and so on, and check it."""
    written = read_config(config, parsed(fixed)).to_dict()
    reads_data = any(OF_DATA.search(dimension.name) for dimension in space)
    known = set(types_in(written))
    for ends in itertools.zip_longest(*(dimension.ends() for dimension in space)):
        words = [
            f'{dimension.name}={dimension.ends()[-1] if end is None else end}' for dimension, end in zip(space, ends)
        ]
        resolved = _loaded(config, [*fixed, *words], reads_data)
        _check_names(config, fixed, space, written, resolved)
        try:
            check_trial(resolved, known, reads_data, metric, alone)
        except MISTAKES as error:
            raise ValueError(f'with {" ".join(words)}: {plain(error)}') from None


def _loaded(config: str, words: list[str], reads_data: bool) -> Config:
    """Load the config of a trial as its training will; where no word is on data, these are not asked for."""
    if reads_data:
        check_data_root(config_path(config), words)
    check_start(config_path(config), words)
    options = parsed(words)
    names = tuple(name for name in options if name != RECIPE)
    given = read_config(config, options)
    return resolve(settle(given, names) if reads_data else given, names)


def _check_names(config: str, fixed: list[str], space: list[Dimension], written: dict, resolved: Config) -> None:
    for dimension in space:
        if _lacks(written, dimension.name) and not _is_argument(resolved, dimension.name):
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


def _is_argument(config: Config, name: str) -> bool:
    """Return whether a word that no file writes is an argument of the model."""
    return name.startswith('model.') and builds(config)


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
