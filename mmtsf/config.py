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

from .hub import config_path
from .recipes import lay_over

REFERENCE = re.compile(r'\$\{([\w.]+)\}')
#: Top-level keys that the Runner or a tool reads
RUNNER_KEYS = {
    'compile',
    'custom_imports',
    'global_batch_size',
    'model_wrapper_cfg',
    'parallel',
    *inspect.signature(Runner).parameters,
}


def load_config(path: str, options: dict | None = None) -> Config:
    """Read a config file, change it by ``options``, and put the values in the place of references to them.

    Args:
        path (str): Path of a Python config, or the name of a shipped one, ``'mmtsf::timesformer_base_k400.py'``.
        options (dict, optional): Values by dotted keys, as from ``--cfg-options``. Defaults to None.

    Raises:
        FileNotFoundError: If there is no such config.
        KeyError: If a reference names nothing.
        ValueError: If an option changes nothing, or nothing refers to a key that is close to a known one, or values
            refer to each other in a circle.
    """
    config = Config.fromfile(config_path(path))
    config, options = lay_over(config, options or {})
    config.merge_from_dict(options)
    used: set[str] = set()
    try:
        resolved = _resolve(config._cfg_dict.to_dict(), config, used)
    except RecursionError:
        raise ValueError(f'values of {path} refer to each other in a circle') from None
    tables = {name.split('.')[0] for name in used} - RUNNER_KEYS
    _check_keys(config, used, tables, options or {})
    # what was referred to has done its work; left in a dump it would look as if changing it did something
    return Config({key: value for key, value in resolved.items() if key not in tables}, filename=config.filename)


def _resolve(value: Any, config: Config, used: set[str]) -> Any:
    """``value`` with all references replaced; their names are added to ``used``."""
    if isinstance(value, dict):
        return {key: _resolve(item, config, used) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_resolve(item, config, used) for item in value)
    if not isinstance(value, str):
        return value
    while match := REFERENCE.search(value):  # innermost first: '${protocols.${protocol}.start}'
        target = _look_up(match[1], config)
        used.add(match[1])
        if match[0] == value:
            return _resolve(target.to_dict() if isinstance(target, ConfigDict) else target, config, used)
        value = value.replace(match[0], str(target))
    return value


def _look_up(name: str, config: Config) -> Any:
    value: Any = config
    for key in name.split('.'):
        if not isinstance(value, (Config, ConfigDict)) or key not in value:
            raise KeyError(
                f"a config value refers to '${{{name}}}', but there is no {key!r} in it"
                f'{_suggest(key, list(value) if hasattr(value, "keys") else [])}'
            )
        value = value[key]
    return value


def _check_keys(config: Config, used: set[str], tables: set[str], options: Iterable[str]) -> None:
    """Refuse keys that nothing reads, where they are options or likely slips."""
    known = RUNNER_KEYS | tables
    for key in sorted(set(config) - known):
        if close := difflib.get_close_matches(key, known, n=1, cutoff=0.8):
            raise ValueError(f'unknown config key {key!r}; did you mean {close[0]!r}?')
    for name in options:
        table = name.split('.')[0]
        if table not in RUNNER_KEYS and not any(_within(name, other) or _within(other, name) for other in used):
            suggestion = (
                _suggest(name, {other for other in used if _within(other, table)})
                if table in tables
                else _suggest(table, known)
            )
            raise ValueError(f'the option {name!r} changes nothing: no value of this config refers to it{suggestion}')
    for name in (unused for table in sorted(tables) for unused in _unused(table, config[table], used)):
        siblings = {other for other in used if other.rpartition('.')[0] == name.rpartition('.')[0]}
        if close := difflib.get_close_matches(name, siblings, n=1, cutoff=0.8):
            raise ValueError(f'unknown config key {name!r}: nothing refers to it; did you mean {close[0]!r}?')


def _within(name: str, table: str) -> bool:
    return name == table or name.startswith(f'{table}.')


def _unused(name: str, value: Any, used: set[str]) -> Iterator[str]:
    """Names in a table that nothing refers to."""
    if name in used:
        return
    if not isinstance(value, dict):
        yield name
        return
    for key, item in value.items():
        yield from _unused(f'{name}.{key}', item, used)


def _suggest(key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f'; did you mean {close[0]!r}?' if close else f'; known are {", ".join(map(repr, sorted(known)))}'
