"""Find the files that a config inherits from."""

import ast
import json
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

from .recipes import SLOT, recipe_is
from .shipped import PREFIX, config_path, from_file

#: An environment variable in a config, and the value it has where it is not set
VARIABLE = re.compile(r'\{\{[\'"]?\s*\$(\w+)\s*:\s*(\S*?)\s*[\'"]?\}\}')


def inherited(config: Config) -> list[tuple[Path, dict]]:
    """Config files that a config is made of, those it inherits from before itself, each with all its values.

    Args:
        config (Config): From :meth:`mmengine.Config.fromfile`. One that is of no file, or whose file is gone, inherits
            nothing.
    """
    file, recipe = Path(config.filename or ''), config.env_variables.get(SLOT)
    if not file.is_file():
        return []
    with recipe_is(recipe):
        files = dict.fromkeys(_with_bases(file.resolve()))
        return [(path, _values(path, path.stat().st_mtime_ns, recipe)) for path in files]


def bases(file: Path) -> list[Path]:
    """Files that a config file names as its bases.

    A ``_base_`` that is computed has none that are known here, nor has a base in another package than this one.
    """
    text = VARIABLE.sub(lambda match: os.environ.get(match[1], match[2]), file.read_text(encoding='utf-8'))
    named = _named(file.suffix, text)
    names = [named] if isinstance(named, str) else list(named or [])
    paths = [config_path(name) if name.startswith(PREFIX) else file.parent / name for name in names]
    return [path.resolve() for path in paths if path.is_file()]


def writes(file: Path, table: str, key: str) -> bool:
    """Whether a config file itself, without its bases, writes a key of a table."""
    text = VARIABLE.sub('_', file.read_text(encoding='utf-8'))
    if file.suffix != '.py':
        text = re.sub(r'\{\{.*?\}\}', 'null', text)
        values = json.loads(text) if file.suffix == '.json' else yaml.safe_load(text) or {}
        return isinstance(values.get(table), dict) and key in values[table]
    statements = ast.parse(re.sub(r'\{\{.*?\}\}', '_', text)).body
    parts = [list(ast.walk(line)) for line in statements if isinstance(line, (ast.Assign, ast.AugAssign, ast.Expr))]
    ours = [nodes for nodes in parts if any(isinstance(node, ast.Name) and node.id == table for node in nodes)]
    return any(
        key in (getattr(node, name, None) for name in ('arg', 'attr', 'value')) for nodes in ours for node in nodes
    )


def _named(suffix: str, text: str) -> Any:
    if suffix != '.py':
        text = re.sub(r'\{\{.*?\}\}', 'null', text)
        return (json.loads(text) if suffix == '.json' else yaml.safe_load(text) or {}).get('_base_')
    tree = ast.parse(re.sub(r'\{\{.*?\}\}', '_', text))
    for line in tree.body:
        if isinstance(line, ast.Assign) and getattr(line.targets[0], 'id', '') == '_base_':
            try:
                return ast.literal_eval(line.value)
            except ValueError:
                return None
    return None


def _with_bases(file: Path) -> Iterator[Path]:
    for base in bases(file):
        yield from _with_bases(base)
    yield file


@lru_cache(maxsize=256)
def _values(file: Path, changed: int, recipe: str | None) -> dict:
    """All values of a config file; the cache knows it by when it was changed and by the recipe."""
    return from_file(file).to_dict()
