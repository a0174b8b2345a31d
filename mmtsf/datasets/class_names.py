"""Name the classes of a data set in the order of their labels."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmtsf.utils.locations import within
from mmtsf.utils.names import EXPECTED, is_name
from mmtsf.utils.read_text import read_names

#: Lists of class names that come with the package: those of the data sets' annotations, in their order
SHIPPED = Path(__file__).with_name('classes')
#: Numbers that are written otherwise than labels are, and those that stand before and behind names
ASCII = re.compile(r'-?[0-9]+')
ODD = re.compile(r'[+]?([0-9]{1,18})(?:\.0*)?')
BEFORE = re.compile(r'(?P<number>[0-9]{1,18})(?:\s*[.,;:)]\s*|\s+)(?P<name>.+)')
BEHIND = re.compile(r'(?P<name>.+?)(?:\s*[,;:(]\s*|\s+)(?P<number>[0-9]{1,18})\)?')


def class_names(
    classes: str | Sequence[str] | None,
    data_root: str,
    num_classes: int | None,
    default_classes: str | None = None,
) -> list[str]:
    """Return class names in the order of the labels.

    Args:
        classes (str | Sequence[str], optional): The names, or a text file with one a line.
        data_root (str): Folder that the file's path is relative to.
        num_classes (int, optional): How many there must be; None takes as many as are named.
        default_classes (str, optional): Names of :func:`shipped_classes` that are taken where ``classes`` is None and
            they are as many as ``num_classes``. Defaults to None: the labels' numbers.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If they are more or fewer than ``num_classes``, or two are the same, or neither is given.
    """
    place = 'class '
    if isinstance(classes, str):
        file = within(data_root, classes)
        if not file.is_file():
            raise FileNotFoundError(
                f'the file of class names {file} does not exist; write one name a line in the '
                'order of the labels, or set data.classes=None'
            )
        place, classes = f'{file}, line ', read_names(file)
    if not classes and num_classes is None:
        raise ValueError('neither classes nor num_classes is given; set data.num_classes to the number of classes')
    if not classes and default_classes and len(shipped := shipped_classes(default_classes)) == num_classes:
        classes = shipped
    names = [_as_text(name) for name in classes or range(num_classes or 0)]
    if num_classes is not None and len(names) != num_classes:
        raise ValueError(
            f'there are {len(names)} class names but num_classes is {num_classes}'
            f'{f" ({file})" if place != "class " else ""}; set data.num_classes to the number of classes'
        )
    first = 1 if place != 'class ' else 0
    for label, name in enumerate(names):
        if not is_name(name):
            raise ValueError(f'{place}{label + first}: the name {name!r} is not taken, expected {EXPECTED}')
        if name in names[:label]:
            raise ValueError(f'{place}{label + first}: class names must differ, but {name!r} occurs more than once')
    return names


def check_unnumbered(names: Sequence[str], source: str) -> None:
    """Refuse class names that number the classes otherwise than their labels do.

    Args:
        names (Sequence[str]): Names in the order of the labels.
        source (str): Where they stand.

    Raises:
        ValueError: If they are numbers such as ``1.0``, or all of them begin or end in numbers that count from another
            one than 0, as ``1 run`` in the class file of UCF101.
    """
    plain = [unicodedata.normalize('NFKC', name) for name in names]
    written = [(label, ODD.fullmatch(name)) for label, name in enumerate(plain) if not ASCII.fullmatch(names[label])]
    odd = [names[label] for label, found in written if found and int(found[1]) != label]
    for pattern in (BEFORE, BEHIND):
        found = [match for match in map(pattern.fullmatch, plain) if match]
        numbers = [int(match['number']) for match in found]
        differ = len({match['name'] for match in found}) == len(names) > 1
        if differ and max(numbers) - min(numbers) == len(set(numbers)) - 1 == len(names) - 1:
            odd += [name for label, name in enumerate(names) if numbers[label] != label]
    if odd:
        raise ValueError(
            f'the class name {odd[0]!r} in {source} is or has a number that is not its label, which counts from 0; '
            'write the names alone, one a line, in the order of the labels'
        )


def _as_text(name: Any) -> Any:
    return str(name) if isinstance(name, int) else name


def shipped_classes(dataset: str) -> list[str]:
    """Return the class names of a data set that come with the package.

    Args:
        dataset (str): ``'kinetics400'``, ``'kinetics600'``, ``'ssv2'`` or ``'diving48'``.

    Raises:
        ValueError: If there are none of that name.
    """
    known = {file.stem: file for file in sorted(SHIPPED.glob('*.txt'))}
    if dataset not in known:
        raise ValueError(f'there are no class names of {dataset!r} in this package, expected one of {", ".join(known)}')
    return read_names(known[dataset])
