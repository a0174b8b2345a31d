"""Read annotation files as rows and JSON values, with errors that name the place."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any

from mmtsf.utils.class_folders import SPLIT_WORDS
from mmtsf.utils.read_text import read_text

from .annotations import AnnotationError

AGAIN = 'download the file again'


def read_rows(file: Path, delimiter: str = ',') -> Iterator[tuple[str, list[str]]]:
    """Read the place (file and line) and cells of every row that is not empty.

    Args:
        file (Path): Text file, with or without a byte order mark.
        delimiter (str): What stands between the words; where it is a tab, quotes mean themselves. Defaults to
            ``','``.

    Raises:
        AnnotationError: If it is no such file.
    """
    number = 0
    lines = io.StringIO(_text(file), newline='')
    try:
        reader = csv.reader(lines, delimiter=delimiter, quotechar=None if delimiter == '\t' else '"')
        for row in reader:
            number = reader.line_num
            if any(word.strip() for word in row):
                yield f'{file}, line {number}', [word.strip() for word in row]
    except csv.Error as error:
        raise AnnotationError(f'{file}, after line {number}: expected rows of text ({error}); {AGAIN}') from error


def read_json(file: Path) -> Any:
    """Read a JSON file, with or without a byte order mark.

    Raises:
        AnnotationError: If it is no such file.
    """
    try:
        return json.loads(_text(file))
    except json.JSONDecodeError as error:
        place = f'{file}, line {error.lineno}, column {error.colno}'
        raise AnnotationError(f'{place}: expected JSON ({error.msg}); {AGAIN}') from error
    except RecursionError as error:
        raise AnnotationError(f'{file}: expected JSON ({error}); {AGAIN}') from error


def _text(file: Path) -> str:
    try:
        return read_text(file)
    except ValueError as error:
        raise AnnotationError(f'{error}; or {AGAIN}') from None


def field(entry: Any, key: str, kind: type | UnionType, where: str) -> Any:
    """Return the value of a key in a JSON object.

    Args:
        entry (Any): The object.
        key (str): Its key.
        kind (type | UnionType): Type of the value, or several as in ``str | int``.
        where (str): Place of the object, for the error.

    Raises:
        AnnotationError: If there is no such key, or its value has another type.
    """
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        found = f'{key!r} is {value!r}' if isinstance(entry, dict) else f'it is {entry!r}'
        expected = kind.__name__ if isinstance(kind, type) else kind
        raise AnnotationError(f'{where}: {found:.200}, expected {key!r} to be of type {expected}; {AGAIN}')
    return value


def split_of(word: str, where: str) -> str:
    """Return the split that a word in a file names.

    Raises:
        AnnotationError: If it names none.
    """
    if word.lower() not in SPLIT_WORDS:
        raise AnnotationError(f'{where}: the split is {word!r}, expected one of {", ".join(SPLIT_WORDS)}; {AGAIN}')
    return SPLIT_WORDS[word.lower()]


def split_named(file: Path) -> str:
    """Return the split that a file name contains.

    Raises:
        AnnotationError: If it tells none.
    """
    for word in ('train', 'val', 'test'):
        if word in file.stem.lower():
            return word
    raise AnnotationError(f'{file}: expected "train", "val" or "test" in its name; give it its official name again')
