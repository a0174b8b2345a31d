"""Read the annotations of Something-Something V2: numbers of templates, and a JSON file for each split."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .annotations import AnnotationError, Annotations, Clip, collect
from .read_files import AGAIN, field, read_json, split_named


def read_ssv2(files: list[Path]) -> Annotations:
    """Read ``labels.json``, ``train.json``, ``validation.json`` and, without labels, ``test.json``.

    Args:
        files (list[Path]): The files, in any order; the names of the splits' files tell the splits.

    Raises:
        AnnotationError: If a file is not in the official format, or the labels are missing.
    """
    for file in files:
        if file.suffix.lower() == '.csv':
            raise AnnotationError(f'{file}: expected JSON files alone; leave out test-answers.csv, which is not read')
    contents = {file: read_json(file) for file in files}
    numbers = [file for file, content in contents.items() if isinstance(content, dict)]
    if len(numbers) != 1:
        given = ', '.join(map(str, files))
        raise AnnotationError(
            f'of {given}, {len(numbers)} are objects of templates and numbers, expected one; give labels.json, '
            'train.json and validation.json'
        )
    label_of = _label_of(contents.pop(numbers[0]), numbers[0])
    clips = (clip for file, content in contents.items() for clip in _clips(content, file, label_of, numbers[0]))
    return collect(sorted(label_of, key=lambda name: label_of[name]), clips)


def _label_of(content: dict[str, Any], file: Path) -> dict[str, int]:
    """Read labels by template; the file has the numbers as strings."""
    for template, number in content.items():
        if not re.fullmatch('[0-9]+', str(number)):
            raise AnnotationError(f'{file}, key {template!r}: it is {number!r:.200}, expected a number; {AGAIN}')
    label_of = {without_brackets(template): int(number) for template, number in content.items()}
    if sorted(label_of.values()) != list(range(len(content))):
        raise AnnotationError(f'{file}: expected the numbers from 0 to {len(content) - 1}, each once; {AGAIN}')
    return label_of


def _clips(content: Any, file: Path, label_of: dict[str, int], numbers: Path) -> Iterator[Clip]:
    if not isinstance(content, list):
        raise AnnotationError(f'{file}: expected a JSON list of clips; {AGAIN}')
    split = split_named(file)
    for number, entry in enumerate(content, 1):
        where = f'{file}, entry {number}'
        name = str(field(entry, 'id', str | int, where))
        if 'template' not in entry and split == 'test':
            yield Clip(name, split, None)
            continue
        template = without_brackets(field(entry, 'template', str, where))
        if template not in label_of:
            raise AnnotationError(f'{where}: the template {template!r} is not in {numbers}; take both from one release')
        yield Clip(name, split, label_of[template])


def without_brackets(template: str) -> str:
    """Remove the brackets of ``Pushing [something] onto [something]``, as the labels have it."""
    return re.sub(r'[\[\]]', '', template)
