"""Configs whose values may refer to other values by name: ``'${clip.num_frames}'``.

A clip's geometry, a data set's size, the test protocol stand in one place of a config, and everything that depends on
them names them. A child config, or ``--cfg-options clip.num_frames=16``, changes that one place.
"""

import difflib
import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from .recipes import load_with_recipe
from .shipped import config_path

REFERENCE = re.compile(r'\$\{([\w.]+)\}')
#: Top-level keys that the Runner or a tool reads
RUNNER_KEYS = {
    'compile',
    'custom_imports',
    'global_batch_size',
    'model_wrapper_cfg',
    'new_data',
    'parallel',
    *inspect.signature(Runner).parameters,
}


def load_config(path: str, options: dict | None = None) -> Config:
    """Read a config file, change it by ``options``, and put the values in the place of references to them.

    Args:
        path (str): Path of a Python config, or the name of a shipped one, ``'mmtsf::timesformer_base_k400.py'``.
        options (dict, optional): Values by dotted keys, as from ``--cfg-options``. Defaults to None.

    Raises:
        FileNotFoundError: If there is no such config or recipe.
        KeyError: If a reference names nothing.
        ValueError: If an option changes nothing, or nothing refers to a key that is close to a known one, or values
            refer to each other in a circle, or a recipe is laid over a config without references.
    """
    file = config_path(path)
    config = load_with_recipe(file, options or {})
    options = {name: value for name, value in (options or {}).items() if name != 'recipe'}
    config.merge_from_dict(options)
    values = config._cfg_dict.to_dict()
    named: set[str] = set()  # by any value, also in branches that no word chooses
    try:
        _resolve(values, config, named)
    except RecursionError:
        raise ValueError(f'values of {path} refer to each other in a circle') from None
    tables = {name.split('.')[0] for name in named} - RUNNER_KEYS
    used: set[str] = set()
    # what was referred to has done its work; left in a dump it would look as if changing it did something
    resolved = _resolve({key: value for key, value in values.items() if key not in tables}, config, used)
    _check_keys(config, tables)
    _check_options(options, used, named, tables)
    _check_tables(config, named, tables)
    return Config(resolved, filename=str(file))


def _resolve(value: Any, config: Config, names: set[str]) -> Any:
    """``value`` with all references replaced; what they name is added to ``names``."""
    if isinstance(value, dict):
        return {key: _resolve(item, config, names) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_resolve(item, config, names) for item in value)
    if not isinstance(value, str):
        return value
    while match := REFERENCE.search(value):  # innermost first: '${protocols.${protocol}.start}'
        target = _look_up(match[1], config)
        names.add(match[1])
        if match[0] == value:
            return _resolve(target.to_dict() if isinstance(target, ConfigDict) else target, config, names)
        value = value.replace(match[0], str(target))
    return value


def _look_up(name: str, config: Config) -> Any:
    value: Any = config
    for key in name.split('.'):
        if not isinstance(value, (Config, ConfigDict)) or key not in value:
            known = list(value) if hasattr(value, 'keys') else []
            raise KeyError(
                f"a config value refers to '${{{name}}}', but there is no {key!r} in it"
                f'{_suggest(key, known, RUNNER_KEYS if value is config else ())}'
            )
        value = value[key]
    return value


def _check_keys(config: Config, tables: set[str]) -> None:
    """Refuse keys that nothing reads and that are close to a known one."""
    known = RUNNER_KEYS | tables
    for key in sorted(set(config) - known):
        if close := difflib.get_close_matches(key, known, n=1, cutoff=0.8):
            raise ValueError(f'unknown config key {key!r}; did you mean {close[0]!r}?')


def _check_options(options: Iterable[str], used: set[str], named: set[str], tables: set[str]) -> None:
    """Refuse options that do not end in the result."""
    for name in options:
        table = name.split('.')[0]
        if table in RUNNER_KEYS or _meets(name, used):
            continue
        words = f'the option {name!r} changes nothing: '
        if _meets(name, named):
            raise ValueError(
                f'{words}what refers to it is not in use; data.sampling, data.source and the like choose that'
            )
        if not tables:
            raise ValueError(
                f'{words}values of this config refer to nothing, as a run leaves them; change them directly'
            )
        inside = {other for other in named if _within(other, table)}
        suggestion = _suggest(name, inside) if inside else _suggest(table, RUNNER_KEYS | tables, RUNNER_KEYS)
        raise ValueError(f'{words}no value of this config refers to it{suggestion}')


def _check_tables(config: Config, named: set[str], tables: set[str]) -> None:
    """Refuse keys of tables that nothing refers to and that are close to one of their neighbours."""
    for name in (unused for table in sorted(tables) for unused in _unused(table, config[table], named)):
        siblings = {other for other in named if other.rpartition('.')[0] == name.rpartition('.')[0]}
        if close := difflib.get_close_matches(name, siblings, n=1, cutoff=0.8):
            raise ValueError(f'unknown config key {name!r}: nothing refers to it; did you mean {close[0]!r}?')


def _meets(name: str, others: set[str]) -> bool:
    """Whether a name is one of others, or a part or the whole of one."""
    return any(_within(name, other) or _within(other, name) for other in others)


def _within(name: str, table: str) -> bool:
    return name == table or name.startswith(f'{table}.')


def _unused(name: str, value: Any, named: set[str]) -> Iterator[str]:
    """Names in a table that nothing refers to."""
    if name in named:
        return
    if not isinstance(value, dict):
        yield name
        return
    for key, item in value.items():
        yield from _unused(f'{name}.{key}', item, named)


def _suggest(key: str, known: Iterable[str], unlisted: Iterable[str] = ()) -> str:
    """The nearest of the known names; else all of them but those that are too many to help."""
    close = difflib.get_close_matches(key, known, n=1)
    listed = sorted(set(known) - set(unlisted))
    return f'; did you mean {close[0]!r}?' if close else f'; known are {", ".join(map(repr, listed))}'
