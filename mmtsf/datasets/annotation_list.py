"""Read and write annotation lists: a path and a label in each line, with a space, a comma or the like between them."""

import csv
import io
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from pathlib import PureWindowsPath
from typing import Any, NamedTuple

from mmtsf.utils.files import written_whole
from mmtsf.utils.locations import OF_ROWS, is_address, relative_to, scheme_of, within
from mmtsf.utils.media import is_video
from mmtsf.utils.read_text import decoded, read_text
from mmtsf.utils.text import shorten

from .annotation_lines import delimiter_of, is_header, is_number, joined, rows_of, split_line

__all__ = ['AnnotationList', 'Row', 'is_number', 'read_list', 'write_list']
#: Suffixes of lists that are tables
TABLES = ('.csv', '.tsv')
ADDRESS = re.compile(r'[a-z][a-z0-9+.-]*:(:.*:)?/', re.IGNORECASE)


class Row(NamedTuple):
    """A video of a list.

    Attributes:
        where (str): File and line.
        path (str): Path of the video, relative to its folder, without ``.`` and ``..``.
        labels (list[str]): Words after the path.
    """

    where: str
    path: str
    labels: list[str]


class AnnotationList(NamedTuple):
    """What a list holds.

    Attributes:
        header (list[str]): Its first line, if that names the columns.
        rows (list[Row]): Its videos.
        delimiter (str): What stands between path and label. Defaults to a space.
    """

    header: list[str]
    rows: list[Row]
    delimiter: str = ' '


def read_list(
    file: Any,
    folder: Any,
    allow_outside: bool = False,
    is_label: Callable[[str], bool] = is_number,
    several: bool = False,
    text: str | None = None,
) -> AnnotationList:
    """Read an annotation list.

    Between path and label is a space, a comma, a semicolon or a tab, as the first line tells, whatever the suffix of
    the list. Byte order marks, empty lines and a header (``path label``) are no videos.

    Args:
        file (Path): The list, UTF-8; it and the folder may be at addresses.
        folder (Path): Folder of its videos.
        allow_outside (bool): Whether its paths may lead out of the folder. Defaults to False.
        is_label (Callable): Tells labels from parts of a path where a folder of frames has no suffix that ends it.
            Defaults to :func:`is_number`.
        several (bool): Whether a video may have several labels. Defaults to False.
        text (str, optional): What the list holds. Defaults to None: that is read.

    Raises:
        ValueError: If it is no text in UTF-8, a line can be read in several ways, or a path is no path of a file in the
            folder.
    """
    text = read_text(file) if text is None else text
    header: list[str] = []
    rows: list[Row] = []
    try:
        is_there = cache(partial(_is_there, folder))
        delimiter = delimiter_of(text, file.suffix.lower() in TABLES, is_label, is_there)
        for where, line, words in _rows(file, text, delimiter):
            if (
                not rows
                and not header
                and is_header(words, delimiter, is_label)
                and not (words[0] and is_there(words[0]))
            ):
                header = words
                continue
            path, labels = words[0], words[1:]
            if delimiter == ' ' or (delimiter == '\t' and not labels):
                path, labels = _split(line, where, is_label, several, is_there)
            rows.append(Row(where, _inside(path, folder, where, allow_outside), labels))
    except csv.Error as error:
        raise ValueError(f'{file}: expected a path and a label in each line ({error}); write it anew so') from None
    return AnnotationList(header, rows, delimiter)


def _rows(file: Any, text: str, delimiter: str) -> Iterator[tuple[str, str, list[str]]]:
    """Place, text and words of every line that is not empty; in a table the text is the first word."""
    if delimiter == ' ':
        for number, line in enumerate(re.split('\r\n|\n|\r', text), 1):
            if words := [word.strip('"') for word in line.split()]:
                yield f'{file}, line {number}', line.strip(), words
        return
    for number, words in rows_of(text, delimiter):
        while delimiter == '\t' and len(words) > 1 and not words[-1]:  # spaces at the end of a line
            words.pop()
        yield f'{file}, line {number}', words[0], words


def _split(
    line: str, where: str, is_label: Callable[[str], bool], several: bool, is_there: Callable[[str], bool]
) -> tuple[str, list[str]]:
    try:
        return split_line(line, is_label, several, is_there)
    except ValueError as error:
        raise ValueError(f'{where}: {error}') from None


def _is_there(folder: Any, path: str) -> bool:
    return within(folder, path).exists()


def _inside(path: str, folder: Any, where: str, allow_outside: bool) -> str:
    """The path from the folder on, without ``..``, which a link in the folder would give another meaning. Links in the
    folder are its owner's, and may lead out of it. An address is taken where the path may lead out; one in the folder
    becomes relative to it.

    Raises:
        ValueError: If the path leads out of it, or is none.
    """
    if '\0' in path or len(path.splitlines()) != 1:  # none, or several
        raise ValueError(f'{where}: {path!r} is no path; write that of a video, relative to {folder}')
    if is_address(folder):
        path = _at_address(path, str(folder).rstrip('/'), where)
    windows = PureWindowsPath(path) if '\\' in path else PureWindowsPath()
    is_foreign = ADDRESS.match(path) or windows.anchor or '..' in windows.parts
    if is_foreign and (is_address(folder) or not os.path.lexists(folder / os.path.normpath(path))):
        if allow_outside and scheme_of(path) in OF_ROWS and '::' not in path:
            return path
        remedy = '; where the list can be trusted set data.allow_outside=True (--allow-outside) for addresses of '
        raise ValueError(
            f'{where}: {path!r} is an address or a path of another system, and no file in {folder}'
            f'{remedy + ", ".join(OF_ROWS) if not allow_outside else "; addresses may be of " + ", ".join(OF_ROWS)}'
        )
    if not os.path.isabs(path) and '..' not in path:
        return os.path.normpath(path)
    inner = os.path.normpath(path) if is_address(folder) else os.path.relpath(folder / path, folder)
    if not os.path.isabs(inner) and inner.split(os.sep)[0] != '..':
        return inner
    if allow_outside and (os.path.isabs(path) or not is_address(folder)):
        return os.path.normpath(path)
    raise ValueError(
        f'{where}: {path!r} leads out of {folder}; write paths relative to it, or where the list can be trusted set '
        'data.allow_outside=True (mmtsf check, mmtsf features: --allow-outside)'
    )


def _at_address(path: str, folder: str, where: str) -> str:
    """The path of a video in a folder at an address, where it is written as an address.

    Raises:
        ValueError: If it holds ``::``, by which one address wraps another.
    """
    if '::' in path:
        raise ValueError(f"{where}: {path!r} holds '::', by which one address wraps another; rename the video")
    return relative_to(folder, path)


def write_list(
    file: Any, videos: AnnotationList, targets: dict[str, str], broken: Iterable[str], folder: Any = None
) -> None:
    """Write a list with new paths and without the broken videos, in the form in which it was read.

    A video with a name that would not be read as it is written is named in a warning, and left out.

    Args:
        file (Path): The list, on the disk or at an address.
        videos (AnnotationList): What it begins with.
        targets (dict[str, str]): New paths by the ones before, as far as there are some.
        broken (Iterable[str]): Paths before of the videos that are left out.
        folder (Path, optional): Folder of the videos. Defaults to None: that of the list.
    """
    left_out = set(broken)
    rows = [row._replace(path=targets.get(row.path, row.path)) for row in videos.rows if row.path not in left_out]
    kept, lost = _readable(videos._replace(rows=rows), file, file.parent if folder is None else folder)
    if lost:
        warnings.warn(
            f'left out of {file}, which would not be read as it was written: {shorten(map(repr, lost))}; rename them',
            stacklevel=2,
        )
    with (
        written_whole(file) as part,
        part.open('w', encoding='utf-8', newline='', errors='surrogateescape') as lines,
    ):
        lines.write(_text(videos._replace(rows=kept)))


def _text(videos: AnnotationList) -> str:
    rows = [[row.path, *row.labels] for row in videos.rows]
    if videos.delimiter == ' ':
        header = [f'{" ".join(videos.header)}\n'] if videos.header else []
        return ''.join([*header, *(f'{joined(row[0], row[1:])}\n' for row in rows)])
    text = io.StringIO(newline='')
    csv.writer(text, delimiter=videos.delimiter, lineterminator='\n').writerows([*filter(None, [videos.header]), *rows])
    return text.getvalue()


def _readable(videos: AnnotationList, file: Any, folder: Any) -> tuple[list[Row], list[str]]:
    """The rows of video files that are read as they are written, and the paths of the others."""
    if not all(is_video(row.path) for row in videos.rows) or _is_read_back(videos, file, folder):
        return videos.rows, []
    kept, lost = list[Row](), list[str]()
    for row in videos.rows:  # the first one tells how the others are read
        if _is_read_back(videos._replace(rows=[*kept[:1], row]), file, folder):
            kept.append(row)
        else:
            lost.append(row.path)
    return kept, lost


def _is_read_back(videos: AnnotationList, file: Any, folder: Any) -> bool:
    try:
        text = decoded(_text(videos).encode('utf-8'), file)
        again = read_list(file, folder, allow_outside=True, text=text)
    except ValueError:  # also of names that are no UTF-8
        return False
    except OSError:  # a server does not tell whether a path is there
        return True
    return again.header == videos.header and list(map(_words, again.rows)) == list(map(_words, videos.rows))


def _words(row: Row) -> tuple[str, list[str]]:
    return row.path, ' '.join(row.labels).split()
