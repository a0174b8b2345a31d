"""Read and write annotation lists: a line ``path label`` for each video, or rows ``path,label`` of a csv file."""

import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

VIDEOS = {
    '.3gp',
    '.avi',
    '.flv',
    '.gif',
    '.m4v',
    '.mkv',
    '.mov',
    '.mp4',
    '.mpeg',
    '.mpg',
    '.ogv',
    '.ts',
    '.webm',
    '.wmv',
}
SUFFIXES = ' '.join(sorted(VIDEOS))
#: Path of a video file and labels, which may both hold spaces: the suffix ends the path
LINE = re.compile(rf'(.*(?:{"|".join(map(re.escape, VIDEOS))}))(?:\s+(.+))?', re.IGNORECASE)
NUMBER = re.compile('-?[0-9]+')
#: Last word of a csv file's first line, where that is a header
CSV_HEADER = {'label', 'labels', 'class'}
ADDRESS = re.compile(r'[a-z][a-z0-9+.-]*:/', re.IGNORECASE)


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
        header (list[str]): First row of a csv file that has one.
        rows (list[Row]): Its videos.
    """

    header: list[str]
    rows: list[Row]


def is_number(word: str) -> bool:
    """Whether a label is given as a number."""
    return NUMBER.fullmatch(word) is not None


def read_list(
    file: Path,
    folder: Path,
    allow_outside: bool = False,
    is_label: Callable[[str], bool] = is_number,
    several: bool = False,
) -> AnnotationList:
    """Read an annotation list.

    Args:
        file (Path): The list, UTF-8.
        folder (Path): Folder of its videos.
        allow_outside (bool): Whether its paths may lead out of the folder. Defaults to False.
        is_label (Callable): Tells labels from parts of a path where a folder of frames has no suffix that ends it.
            Defaults to :func:`is_number`.
        several (bool): Whether such a folder may have several labels. Defaults to False.

    Raises:
        ValueError: If it is no text, or a path is no path of a file in the folder.
    """
    header: list[str] = []
    rows: list[Row] = []
    try:
        for where, path, labels in _lines(file, is_label, several):
            if file.suffix.lower() == '.csv' and not rows and not header and [path, *labels][-1].lower() in CSV_HEADER:
                header = [path, *labels]
                continue
            rows.append(Row(where, _inside(path, folder, where, allow_outside), labels))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f'{file}: expected text in UTF-8 ({error}); write it anew so') from None
    return AnnotationList(header, rows)


def _lines(file: Path, is_label: Callable[[str], bool], several: bool) -> Iterator[tuple[str, str, list[str]]]:
    """Place, path and labels of every line that is not empty."""
    with file.open(encoding='utf-8-sig', newline='') as lines:
        if file.suffix.lower() == '.csv':
            reader = csv.reader(lines)
            for row in filter(None, reader):
                yield f'{file}, line {reader.line_num}', row[0].strip(), [word.strip() for word in row[1:]]
            return
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f'{file}, line {number}', *_split(line.strip(), is_label, several)


def _split(line: str, is_label: Callable[[str], bool], several: bool) -> tuple[str, list[str]]:
    """Path and labels of a line. A suffix ends the path of a video file; a folder of frames ends before the labels."""
    if found := LINE.fullmatch(line):
        path, rest = found[1], found[2] or ''
        return path, rest.split() if all(map(is_label, rest.split())) and not is_label(rest) else [rest]
    words = line.split()
    for count in range(len(words) - 1, 0, -1):
        labels = words[-count:] if several else [' '.join(words[-count:])]
        if all(map(is_label, labels)):
            return line.rsplit(maxsplit=count)[0], labels
    return line.rsplit(maxsplit=1)[0], words[1:][-1:]


def _inside(path: str, folder: Path, where: str, allow_outside: bool) -> str:
    """The path from the folder on, without ``..``, which a link in the folder would give another meaning. Links in the
    folder are its owner's, and may lead out of it.

    Raises:
        ValueError: If the path leads out of it, or is none.
    """
    if '\0' in path or len(path.splitlines()) != 1:  # none, or several
        raise ValueError(f'{where}: {path!r} is no path; write that of a video, relative to {folder}')
    windows = PureWindowsPath(path) if '\\' in path else PureWindowsPath()
    is_foreign = ADDRESS.match(path) or windows.anchor or '..' in windows.parts
    if is_foreign and not os.path.lexists(folder / os.path.normpath(path)):
        raise ValueError(
            f'{where}: {path!r} is an address or a path of another system, and no file in {folder}; videos are read '
            'from files on this machine alone'
        )
    if not os.path.isabs(path) and '..' not in path:
        return os.path.normpath(path)
    inner = os.path.relpath(folder / path, folder)
    if inner.split(os.sep)[0] != '..':
        return inner
    if allow_outside:
        return os.path.normpath(path)
    raise ValueError(
        f'{where}: {path!r} leads out of {folder}; write paths relative to it, or where the list can be trusted set '
        'data.allow_outside=True (check_videos.py, extract_features.py: --allow-outside)'
    )


def is_video(path: str) -> bool:
    """Whether a name has the suffix of a video."""
    return Path(path).suffix.lower() in VIDEOS


def write_list(file: Path, videos: AnnotationList, targets: dict[str, str], broken: Iterable[str]) -> None:
    """Write a list with new paths and without the broken videos."""
    left_out = set(broken)
    kept = [[targets.get(row.path, row.path), *row.labels] for row in videos.rows if row.path not in left_out]
    with file.open('w', encoding='utf-8', newline='', errors='surrogateescape') as lines:
        if file.suffix.lower() == '.csv':
            csv.writer(lines, lineterminator='\n').writerows([*filter(None, [videos.header]), *kept])
        else:
            lines.writelines(f'{" ".join(row)}\n' for row in kept)
