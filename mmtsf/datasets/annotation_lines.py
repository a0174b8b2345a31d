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


def is_header(words: list[str], delimiter: str) -> bool:
    """Whether the first line of a list names its columns: ``path label``, or in a table also ``anything,label``."""
    is_path = delimiter != ' ' or words[0].lower() in PATH_HEADERS
    return is_path and not is_video(words[0]) and words[-1].lower() in LABEL_HEADERS


def delimiter_of(text: str, is_table: bool, is_label: Callable[[str], bool]) -> str:
    """What stands between path and label, by the first line that is not empty: of ``, ;``, a tab and a space the one
    behind a video's suffix; where no suffix tells, in a table the first that is there, else a space before a label.

    Args:
        text (str): The list.
        is_table (bool): Whether its name ends in ``.csv`` or ``.tsv``.
        is_label (Callable): Tells whether a word may be a label.

    Raises:
        csv.Error: If its first row has no end.
    """
    line = next((line.strip() for line in text.splitlines() if line.strip()), '')
    first = text if is_table else line  # a row of a table may have several lines
    cells = {delimiter: next(rows_of(first, delimiter), (1, ['']))[1] for delimiter in DELIMITERS}
    there = [delimiter for delimiter in DELIMITERS if len(cells[delimiter]) > 1]
    if by_suffix := [delimiter for delimiter in there if is_video(cells[delimiter][0])]:
        return by_suffix[0]
    words = line.split()
    ends_in_label = len(words) > 1 and is_label(words[-1]) and not is_table
    has_labels = (found := LINE.fullmatch(line)) is not None and found[2] is not None
    return ' ' if has_labels or ends_in_label or not there else there[0]


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
    are several ways to read the line, the one whose folder exists is taken.

    Args:
        line (str): The line.
        is_label (Callable): Tells whether a word may be a label.
        several (bool): Whether a video may have several labels.
        is_there (Callable): Tells whether a path is that of a folder.

    Raises:
        ValueError: If there are several ways to read it, and not one folder.
    """
    if found := QUOTED.fullmatch(line) or LINE.fullmatch(line):
        path = found[1].replace('""', '"') if found.re is QUOTED else found[1]
        rest = (found[2] or '').strip('"') if found.re is QUOTED else found[2] or ''
        return path, rest.split() if all(map(is_label, rest.split())) and not is_label(rest) else [rest]
    readings = list(_readings(line, is_label, several))
    if len(readings) < 2:
        return readings[0] if readings else (line.rsplit(maxsplit=1)[0], line.split()[1:][-1:])
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
