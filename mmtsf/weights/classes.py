"""Read the class names that a checkpoint holds."""

import reprlib
from collections import Counter
from typing import Any

from mmtsf.utils.names import EXPECTED, is_name
from mmtsf.utils.text import shorten


def classes_of(checkpoint: dict, num_classes: int) -> list[str] | None:
    """Return the class names in a checkpoint of mmtsf, MMAction2 or Hugging Face, or None.

    Names that are nothing but the labels' numbers (``0``, ``LABEL_0``) are none. They are texts of the file; a path
    among them is a name like others, and is not opened.

    Args:
        checkpoint (dict): As :func:`read_checkpoint` returns it.
        num_classes (int): How many the classifier has.

    Raises:
        ValueError: If there is something else in their place, or more or fewer.
    """
    names = _told(checkpoint)
    if names is None:
        return None
    place = '; it is id2label of config.json: correct or delete it' if 'huggingface' in checkpoint else ''
    odd = [names] if not isinstance(names, (list, tuple)) else [name for name in names if not is_name(name)]
    if odd:
        raise ValueError(
            f'the class names in this checkpoint are not taken: {reprlib.repr(odd[0])}, expected a list of texts of '
            f'{EXPECTED}{place}'
        )
    if len(names) != num_classes:
        raise ValueError(
            f'there are {len(names)} class names in this checkpoint, expected {num_classes}, one a class{place}'
        )
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise ValueError(
            f'class names in this checkpoint are there twice: {shorten(twice)}; expected one for each{place}'
        )
    numbers = [str(label) for label in range(num_classes)]
    return None if list(names) in (numbers, [f'LABEL_{number}' for number in numbers]) else list(names)


def _told(checkpoint: dict) -> Any:
    """Return the unchecked value at the place of class names; of Hugging Face the labels in order."""
    labels = _inner(checkpoint, 'huggingface').get('id2label')
    if labels is not None:
        numbers = [str(label) for label in range(len(labels))] if isinstance(labels, dict) else []
        if not numbers or set(numbers) != set(labels):
            raise ValueError(
                f'id2label of config.json is {reprlib.repr(labels)}, expected a name for each label from 0 on, '
                '{"0": NAME, "1": NAME, ...}; write it so, or delete id2label, and the classes are numbers'
            )
        return [labels[number] for number in numbers]
    meta = _inner(checkpoint, 'meta')
    places = (meta.get('classes'), _inner(meta, 'dataset_meta').get('classes'))
    return next((names for names in places if names is not None and not (isinstance(names, list) and not names)), None)


def _inner(value: dict, name: str) -> dict:
    inner = value.get(name)
    if not isinstance(inner, (dict, type(None))):
        raise ValueError(f'{name} in this checkpoint is {reprlib.repr(inner)}, expected a dict')
    return inner or {}
