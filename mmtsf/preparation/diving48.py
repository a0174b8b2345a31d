"""Read the annotations of Diving-48: class names in four parts, and a JSON file for each of two splits."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .annotations import AnnotationError, Annotations, Clip, collect
from .read_files import AGAIN, field, read_json, split_named


def read_diving48(files: list[Path]) -> Annotations:
    """Read ``Diving48_vocab.json``, ``Diving48_V2_train.json`` and ``Diving48_V2_test.json``.

    There is no validation split, and the paper reports the accuracy of the test split: it becomes ``val``, from which
    the configs choose and report.

    Files without V2 in their names are read with a warning, since the labels of the first version are faulty.

    Args:
        files (list[Path]): The files, in any order; the names of the splits' files tell the splits.

    Raises:
        AnnotationError: If a file is not in the official format, or the classes are missing.
    """
    contents = {file: read_json(file) for file in files}
    for file, content in contents.items():
        if not isinstance(content, list) or not content:
            raise AnnotationError(f'{file}: expected a JSON list of classes or clips; {AGAIN}')
    vocabularies = [file for file, content in contents.items() if isinstance(content[0], list)]
    if len(vocabularies) != 1:
        given = ', '.join(map(str, files))
        raise AnnotationError(
            f'of {given}, {len(vocabularies)} are lists of classes, expected one; give Diving48_vocab.json, '
            'Diving48_V2_train.json and Diving48_V2_test.json'
        )
    classes = list(_classes(contents.pop(vocabularies[0]), vocabularies[0]))
    clips = (clip for file, content in contents.items() for clip in _clips(content, file, len(classes)))
    warnings = (
        f'{file} has no V2 in its name, and the labels of the first version are faulty; unless it is only renamed, '
        'give Diving48_V2_train.json and Diving48_V2_test.json'
        for file in contents
        if 'v2' not in file.name.lower()
    )
    return collect(classes, clips, warnings)


def _classes(content: list, file: Path) -> Iterator[str]:
    for label, parts in enumerate(content):
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            raise AnnotationError(f'{file}, entry {label + 1}: it is {parts!r:.200}, expected four words; {AGAIN}')
        yield ' '.join(parts)


def _clips(content: list[Any], file: Path, num_classes: int) -> Iterator[Clip]:
    split = 'train' if split_named(file) == 'train' else 'val'
    for number, entry in enumerate(content, 1):
        where = f'{file}, entry {number}'
        label = field(entry, 'label', int, where)
        if not 0 <= label < num_classes:
            raise AnnotationError(
                f'{where}: the label is {label}, expected one of the {num_classes} classes, which count from 0; {AGAIN}'
            )
        yield Clip(field(entry, 'vid_name', str, where), split, label)
