"""Annotation lists and folders as rows, for the tools that go through all videos."""

import csv
import glob
import re
from pathlib import Path

from .video_folder import VIDEOS
from .video_list import CSV_HEADER

SUFFIXES = ' '.join(sorted(VIDEOS))
#: Path and labels, which may both hold spaces; the suffix ends the path, so that no class names are needed
LINE = re.compile(rf'(.*(?:{"|".join(map(re.escape, VIDEOS))}))(?:\s+(.+))?', re.IGNORECASE)


def is_video(path: str) -> bool:
    return Path(path).suffix.lower() in VIDEOS


def list_folder(folder: Path) -> list[list[str]]:
    """Paths of all files below a folder that have the suffix of a video, as rows of a list without labels."""
    paths = glob.glob('**/*', root_dir=folder, recursive=True)  # follows links to folders, as Path.rglob does not
    return [[path] for path in sorted(paths) if is_video(path) and not (folder / path).is_dir()]


def videos_of(path: str) -> list[str]:
    """Videos below a folder; the path itself, if it is a file or a folder of frames."""
    below = [str(Path(path, name)) for (name,) in list_folder(Path(path))] if Path(path).is_dir() else []
    return below or [path]


def read_list(file: Path) -> list[list[str]]:
    """Rows ``[path, labels...]`` of an annotation list, with the header if there is one.

    Raises:
        ValueError: If a row does not begin with the path of a video file.
    """
    with file.open(encoding='utf-8-sig', newline='') as lines:
        if file.suffix == '.csv':
            rows = [row for row in csv.reader(lines) if row]
        else:
            stripped = [line.strip() for line in lines if line.strip()]
            rows = [[*filter(None, found.groups())] if (found := LINE.fullmatch(s)) else [s] for s in stripped]
    rows = [[str(Path(row[0].strip())), *row[1:]] for row in rows]
    has_header = bool(rows) and rows[0][-1].strip().lower() in CSV_HEADER
    for row in rows[has_header:]:
        if not is_video(row[0]):
            raise ValueError(f'{file}: {row[0]!r} is no video file ({SUFFIXES}); take it out of the list')
    return rows


def write_list(file: Path, rows: list[list[str]], targets: dict[str, str], broken: dict[str, str]) -> None:
    """Write the rows with their new paths and without the broken videos."""
    kept = [[targets.get(row[0], row[0]), *row[1:]] for row in rows if row[0] not in broken]
    with file.open('w', encoding='utf-8', newline='') as lines:
        if file.suffix == '.csv':
            csv.writer(lines, lineterminator='\n').writerows(kept)
        else:
            lines.writelines(f'{" ".join(row)}\n' for row in kept)
