"""Refuse to test weights on classes of other names or of another order than those they were trained on."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from mmengine.runner import Runner

from mmtsf import compat
from mmtsf.weights import classes_of

#: What stands in the place of a name that nobody gave
NUMBERED = re.compile(r'(LABEL_|class_?)?\d+', re.IGNORECASE)


def check_tested_classes(runner: Runner, checkpoint: dict) -> None:
    """Compare the class names in a checkpoint with those of the videos that it is tested on.

    Numbers on either side are no names. Case, spaces and punctuation may differ.

    Args:
        runner (Runner): One that tests or validates, with its data set built.
        checkpoint (dict): From :func:`mmtsf.weights.read_checkpoint`.

    Raises:
        ValueError: If names are at other labels; the message names the first and the remedy.
    """
    classes = list((getattr(compat.tested_dataset(runner), 'metainfo', None) or {}).get('classes') or ())
    named = classes_of(checkpoint, len(classes)) if classes else None
    if not named or any(map(NUMBERED.fullmatch, [*named, *map(str, classes)])):
        return
    if found := first_difference([*map(_folded, named)], [*map(_folded, map(str, classes))]):
        at = found[0]
        raise ValueError(
            f'cannot test: class {at} of the data set is {classes[at]!r}, and {named[at]!r} in the checkpoint; name '
            "the classes in the checkpoint's order, for lists of these labels, as data.classes=[...] or a text file "
            'with one a line; or say which are meant, where lists and class folders are there: data.source=list or '
            'data.source=folder'
        )


def first_difference(named: Sequence[Any], classes: Sequence[Any]) -> tuple[int, Any, Any] | None:
    """Return the first place where two lists differ, and what stands there; None if they are equal."""
    pairs = enumerate(zip_longest(named, classes))
    return next(((place, *pair) for place, pair in pairs if pair[0] != pair[1]), None)


def _folded(name: str) -> str:
    plain = unicodedata.normalize('NFKC', name).casefold()
    return re.sub(r'[^\w+#]|_', '', plain) or plain
