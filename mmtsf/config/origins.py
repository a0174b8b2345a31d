"""Tell where each value of a resolved config comes from: a file or an option, and by which reference."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from mmtsf.utils.vits import shipped_vits, vits_path

from .data_source import found_data
from .lineage import inherited
from .recipes import usual_words, words_path
from .references import Resolver, resolve
from .words import with_words


class Found(NamedTuple):
    """A value, and the dotted name of the place where it is written."""

    value: Any
    place: str

    def __str__(self) -> str:
        return str(self.value)


class Tracer(Resolver):
    """Resolve references to values that know where they were found."""

    def found(self, value: Any, place: str) -> Any:
        return value if isinstance(value, Found) else Found(value, place)  # also met behind a ``_use_``


def origins(config: Config, options: Iterable[str] = ()) -> Iterator[tuple[str, Any, str, str]]:
    """Values of a resolved config and their origins.

    Args:
        config (Config): From :func:`mmtsf.config.read_config`.
        options (Iterable[str]): Dotted names that were changed by options. Defaults to ``()``.

    Yields:
        tuple[str, Any, str, str]: Dotted name; value; name of the place where it is written, another one where a
        reference led there; ``option NAME``, ``found in FOLDER``, or the file.
    """
    words, vits = usual_words(), dict(vits=shipped_vits())
    values = with_words(words | config.to_dict())
    options, lineage = list(options), [(words_path(), words), (vits_path(), vits), *inherited(config)]
    found = found_data(values, lineage, tuple(options))
    if found:
        values['data'] = values['data'] | found
    for key in resolve(config, options):
        for name, (value, place) in _leaves(Tracer(values).resolve(values[key], key), key):
            changed = [option for option in options if f'{place}.'.startswith(f'{option}.')]
            by = f'option {changed[-1]}' if changed else _written(place, values, lineage)
            yield name, value, place, f'found in {values["data"]["root"]}' if place[5:] in found else by


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Found]]:
    if isinstance(value, Found):
        yield name, value
        return
    if isinstance(value, (list, tuple)) and (whole := _whole(value)):
        yield name, whole
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(item, f'{name}.{key}')


def _whole(items: list | tuple) -> Found | None:
    """A list of values that are written side by side as one value; None if it is no such list."""
    found = [item for item in items if isinstance(item, Found)]
    places = {item.place.rpartition('.')[0] for item in found}
    if len(found) != len(items) or len(places) != 1:
        return None
    return Found(type(items)([item.value for item in found]), places.pop())


def _written(place: str, values: dict, lineage: list[tuple[Path, dict]]) -> str:
    """The file that has written the value of a place: the first to have it, of those that have it to the end."""
    final, file = _at(values, place), ''
    for path, inherited_values in lineage:
        there = _at(inherited_values, place)
        if there == final:
            file = file or _short(path)
        elif there is not ...:
            file = ''
    return file


def _at(values: Any, place: str) -> Any:
    """The value at a dotted place, ``...`` if there is none."""
    for key in place.split('.'):
        if isinstance(values, (list, tuple)) and key.isdigit() and int(key) < len(values):
            values = values[int(key)]
        elif isinstance(values, dict) and key in values:
            values = values[key]
        else:
            return ...
    return values


def _short(file: Path) -> str:
    """A path from the working folder on, where it lies in it."""
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)
