"""Say what to write in the place of labels that cannot be meant."""

import re
import unicodedata
from collections.abc import Collection

from mmtsf.utils.media import is_video
from mmtsf.utils.text import shorten

from .annotation_lines import LABEL_HEADERS, PATH_HEADERS

DECIMAL = re.compile(r'\+?([0-9]+)(?:\.0*)?')
#: A path of a video and what stands behind it, whatever parts them
PARTED = re.compile(r'(.+?\.\w+?)\s*([|:,;\t\uff0c]|\s)\s*([^.]+)')


def unknown_label(word: str, names: Collection[str], is_first: bool) -> str:
    """Return the remedy for a label that is neither a number nor a class name.

    Args:
        word (str): The label.
        names (Collection[str]): Names of the classes.
        is_first (bool): Whether it is of the first line, which may name the columns.
    """
    plain = unicodedata.normalize('NFKC', word).strip(']["\'').strip()
    seen = ''.join(character for character in plain if unicodedata.category(character) != 'Cf')
    if not word:
        return 'write a label there, or remove the delimiter at the end of the line'
    if is_video(word):
        return 'write the path first and then the label, without other columns such as an index'
    if found := DECIMAL.fullmatch(seen):
        return f"write the number without point, sign and marks that are not seen, '{found[1].lstrip('0') or '0'}'"
    if alike := [name for name in names if _folded(name) == _folded(seen)]:
        return f'write it as the class is called, {alike[0]!r}'
    if any(mark in word for mark in ',;|\t') or all(map(DECIMAL.fullmatch, word.split())):
        return (
            'put the same delimiter between all columns, with several labels too: path,0,2; in a list with commas a '
            'name that holds one stands in quotes'
        )
    header = 'delete the line if it names the columns, or call them path and label' if is_first else ''
    if is_first and word.lower() in PATH_HEADERS | LABEL_HEADERS:
        return header
    known = f'write a number from 0, or one of the names in data.classes: {shorten(names, 3)}'
    return f'{known}; {header}' if header else known


def no_label(path: str) -> str:
    """Return the remedy for a line without a label."""
    if (found := PARTED.fullmatch(path)) and is_video(found[1]):
        mark = {' ': 'a space', '\t': 'a tab'}.get(found[2], repr(found[2]))
        return f'{mark} stands behind the path here, and something else in the first line; put a comma in all lines'
    if ' ' in path and path.split()[0].isdecimal():
        return 'write the path first and then the label'
    return 'write one behind the path: a number from 0, or a class name'


def columns(header: list[str]) -> str:
    """Return the remedy for a list with other columns than path and labels."""
    return (
        f'the columns are {shorten(header, 8)}, and those that are read are two: the path, then the label; leave out '
        'the others, and an index'
    )


def _folded(name: str) -> str:
    return ' '.join(unicodedata.normalize('NFKC', name).casefold().replace('_', ' ').replace('-', ' ').split())
