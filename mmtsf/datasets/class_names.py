"""Name the classes of a data set in the order of their labels."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mmtsf.utils.read_text import read_names

#: Lists of class names that come with the package: those of the data sets' annotations, in their order
SHIPPED = Path(__file__).with_name('classes')


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
    if isinstance(classes, str):
        file = Path(data_root, classes)
        if not file.is_file():
            raise FileNotFoundError(
                f'the file of class names {file} does not exist; write one name a line in the '
                'order of the labels, or set data.classes=None'
            )
        classes = read_names(file)
    if not classes and num_classes is None:
        raise ValueError('neither classes nor num_classes is given; set data.num_classes to the number of classes')
    if not classes and default_classes and len(shipped := shipped_classes(default_classes)) == num_classes:
        classes = shipped
    names = list(classes) if classes else [str(label) for label in range(num_classes or 0)]
    if num_classes is not None and len(names) != num_classes:
        raise ValueError(
            f'there are {len(names)} class names but num_classes is {num_classes}; set '
            'data.num_classes to the number of classes'
        )
    if doubled := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f'class names must differ, but {doubled[0]!r} occurs more than once')
    return names


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
