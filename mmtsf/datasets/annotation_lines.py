"""Split the lines of an annotation list into paths and labels, whatever stands between them."""

import csv
import io
import re
from collections.abc import Callable, Iterator

from mmtsf.utils.media import VIDEOS, is_video

#: What may stand between path and label, besides spaces
DELIMITERS = ',;\t'
#: Path of a video file and labels, which may both hold spaces: the suffix ends the path
LINE = re.compile(rf'(.*\.(?:{"|".join(suffix[1:] for suffix in VIDEOS)}))(?:\s+(.+))?', re.IGNORECASE)
#: A path in quotes, and labels
QUOTED = re.compile(r'"((?:[^"]|"")+)"(?:\s+(.+))?')
NUMBER = re.compile('-?[0-9]+')
#: First and last word of a line that is a header
PATH_HEADERS = {'path', 'paths', 'file', 'filename', 'file_name', 'filepath', 'video', 'videos', 'video_path', 'name'}
LABEL_HEADERS = {'label', 'labels', 'class', 'classes', 'class_id', 'label_id', 'category'}


def is_number(word: str) -> bool:
    """Whether a label is given as a number."""
    return NUMBER.fullmatch(word) is not None


def number_of(word: str) -> int:
    """Number that a word of digits is; one of very many digits is some number out of every range."""
    return int(word) if len(word.lstrip('-0')) < 19 else 10**18


def is_header(words: list[str], delimiter: str, is_label: Callable[[str], bool] = is_number) -> bool:
    """Whether the first line of a list names its columns: ``path label``, in a table also ``anything,label``, or
    ``path,run,jump`` with the names of the classes. One that ends in a class name else is a video."""
    first, *rest = [word.lower() for word in words]
    if not rest or is_video(words[0]):
        return False
    if is_label(words[-1]):
        return (
            first in PATH_HEADERS and len(rest) > 1 and all(map(is_label, words[1:])) and not any(map(is_number, rest))
        )
    known = PATH_HEADERS | LABEL_HEADERS
    names_both = bool(PATH_HEADERS.intersection([first, *rest]) and LABEL_HEADERS.intersection([first, *rest]))
    return (names_both and (delimiter != ' ' or first in known)) or (delimiter != ' ' and rest[-1] in LABEL_HEADERS)


def delimiter_of(text: str, is_table: bool, is_label: Callable[[str], bool], is_there: Callable[[str], bool]) -> str:
    """What stands between path and label, by the first line that is not empty: a space where that reads as path and
    label with spaces, else of ``, ;`` and a tab the one behind a video's suffix or before a label; in a table without
    suffixes the first that is there.

    Args:
        text (str): The list.
        is_table (bool): Whether its name ends in ``.csv`` or ``.tsv``.
        is_label (Callable): Tells whether a word may be a label.
        is_there (Callable): Tells whether a path is that of a file or folder.

    Raises:
        csv.Error: If its first row has no end.
    """
    line = next((line.strip() for line in text.splitlines() if line.strip()), '')
    first = text if is_table else line  # a row of a table may have several lines
    cells = {delimiter: next(rows_of(first, delimiter), (1, ['']))[1] for delimiter in DELIMITERS}
    there = [delimiter for delimiter in DELIMITERS if len(cells[delimiter]) > 1]
    by_suffix = [delimiter for delimiter in there if is_video(cells[delimiter][0])]
    found = QUOTED.fullmatch(line) or LINE.fullmatch(line)
    rest = (found and found[2]) or ''
    if '\t' in by_suffix or not there:
        return '\t' if by_suffix else ' '
    if found and rest and (is_label(rest) or all(map(is_label, rest.split()))):
        return ' '
    if by_suffix:
        return by_suffix[0]
    if found and (rest or not is_table):
        return ' '
    return (
        there[0]
        if is_table
        else _by_labels(line, {delimiter: cells[delimiter] for delimiter in there}, is_label, is_there)
    )


def _by_labels(
    line: str, cells: dict[str, list[str]], is_label: Callable[[str], bool], is_there: Callable[[str], bool]
) -> str:
    """The delimiter of a line whose path has no suffix: the one that parts what is there from a label, or of several
    a tab before a space before others."""
    if len(cells.get('\t', [])) == 2 and is_label(cells['\t'][1]):
        return '\t'
    paths = {' ': [path for path, _ in _readings(line, is_label, several=False)]}
    paths |= {delimiter: words[:1] for delimiter, words in cells.items() if all(map(is_label, words[1:]))}
    if not any(paths.values()):
        paths = {' ': list(_prefixes(line)), **{delimiter: words[:1] for delimiter, words in cells.items()}}
    exist = [delimiter for delimiter, found in paths.items() if any(map(is_there, found))]
    if len(exist) == 1:
        return exist[0]
    cut = [delimiter for delimiter in paths if any(path.endswith(delimiter) for path in paths[' '])]
    fallback = ' ' if any(_readings(line, is_label, several=False)) else next(iter(cells))
    return next((delimiter for delimiter in cut if delimiter != ' '), fallback)


def _prefixes(line: str) -> Iterator[str]:
    """Paths that a line may begin with, the longest first."""
    for count in range(len(line.split())):
        yield line.rsplit(maxsplit=count)[0] if count else line


def rows_of(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Number of the last line and words of every row of a table that is not empty.

    Raises:
        csv.Error: If it is no table.
    """
    reader = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter)
    for row in reader:
        if any(word.strip() for word in row):
            yield reader.line_num, [word.strip() for word in row]


def split_line(
    line: str, is_label: Callable[[str], bool], several: bool, is_there: Callable[[str], bool]
) -> tuple[str, list[str]]:
    """Path and labels of a line with spaces between them.

    A suffix ends the path of a video file, or quotes do. That of a folder of frames ends before the labels; where there
    are several ways to read the line, the one whose file or folder exists is taken.

    Args:
        line (str): The line.
        is_label (Callable): Tells whether a word may be a label.
        several (bool): Whether a video may have several labels.
        is_there (Callable): Tells whether a path is that of a file or folder.

    Raises:
        ValueError: If there are several ways to read it, and not one that is there.
    """
    if found := QUOTED.fullmatch(line) or LINE.fullmatch(line):
        path = found[1].replace('""', '"') if found.re is QUOTED else found[1]
        rest = (found[2] or '').strip('"') if found.re is QUOTED else found[2] or ''
        return path, rest.split() if all(map(is_label, rest.split())) and not is_label(rest) else [rest]
    readings = list(_readings(line, is_label, several))
    if not readings:
        path = next(filter(is_there, _prefixes(line)), line.rsplit(maxsplit=1)[0])
        return path, [line[len(path) :].strip()] if path != line else []
    if len(readings) == 1:
        return readings[0]
    exist = [reading for reading in readings if is_there(reading[0])]
    if len(exist) == 1:
        return exist[0]
    shown = ' or '.join(f'{path!r} with {", ".join(labels)}' for path, labels in exist or readings)
    raise ValueError(
        f"{line!r} may be {shown}; put a comma between path and label, 'path,label' in every line, and leave out the "
        "number of frames of MMAction2's 'folder frames label', which is counted"
    )


def _readings(line: str, is_label: Callable[[str], bool], several: bool) -> Iterator[tuple[str, list[str]]]:
    """Ways to read the line of a folder of frames: path and labels; MMAction2's path, number of frames and labels."""
    words = line.split()
    for count in range(1, len(words)):
        path = line.rsplit(maxsplit=count)[0]
        labels = words[-count:] if several else [' '.join(words[-count:])]
        if all(map(is_label, labels)):
            yield path, labels
        behind = words[-count + 1 :] if several else [' '.join(words[-count + 1 :])]
        if count > 1 and words[-count].isdecimal() and all(map(is_label, behind)):
            yield path, behind


def joined(path: str, labels: list[str]) -> str:
    """Write path and labels with spaces between them, the path in quotes where it may be read otherwise without."""
    line = ' '.join([path, *labels])
    quoted = ' '.join([f'"{path.replace(chr(34), chr(34) * 2)}"', *labels])
    has_delimiter = any(mark in line for mark in DELIMITERS)
    is_bare = path == path.strip() and path[:1] not in ('"', '\ufeff')
    if not is_bare or QUOTED.fullmatch(line) or (has_delimiter and not labels):
        return quoted
    if found := LINE.fullmatch(line):
        return line if (found[1], found[2] or '') == (path, ' '.join(labels)) else quoted
    parts = path.split()[1:]
    is_one = len(labels) == 1 and len(labels[0].split()) == 1
    is_plain = is_one and is_number(labels[0]) and not any(map(is_number, parts))
    return line if not has_delimiter and (is_plain or (not parts and (is_one or not labels))) else quoted
