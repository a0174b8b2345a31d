"""Read the annotations of Kinetics-400 and Kinetics-600: csv files of all releases, and DeepMind's JSON."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .annotations import AnnotationError, Annotations, Clip, collect
from .read_files import AGAIN, field, read_json, read_rows, split_named, split_of
from .youtube import ID, YOUTUBE_ID, youtube_id

#: What the columns are called: today, and in the release of 2017 and its crawler
COLUMNS = dict(
    label=('label', 'label_name', 'class_label'),
    video=('youtube_id', 'video_id', 'youtube_identifier'),
    start=('time_start', 'start_time'),
    end=('time_end', 'end_time'),
    split=('split', 'subset'),
)
#: A file's name: id and seconds, padded with zeros or not
TIMED = re.compile(rf'({ID})_(\d+)(?:\.\d+)?_(\d+)(?:\.\d+)?')


class Row(NamedTuple):
    """Hold a clip's row of an annotation file; the label is empty where it is not published."""

    label: str
    video: str
    start: int
    end: int
    split: str


def read_kinetics(files: list[Path]) -> Annotations:
    """Read the annotations of all splits; classes are numbered in alphabetical order.

    Args:
        files (list[Path]): Files of csv or JSON, one or more a split.

    Raises:
        AnnotationError: If a file is not in the official format.
    """
    rows = [row for file in files for row in (_of_json(file) if file.suffix.lower() == '.json' else _of_csv(file))]
    classes = sorted({row.label for row in rows if row.label})
    label_of: dict[str, int] = {name: label for label, name in enumerate(classes)}
    clips = (
        Clip(clip_name(row.video, row.start, row.end), row.split, label_of.get(row.label), row.video) for row in rows
    )
    return collect(classes, clips)


def clip_name(video: str, start: int, end: int) -> str:
    """Return the name that the official crawler gives to a clip."""
    return f'{video}_{start:06}_{end:06}'


def name_of_file(stem: str) -> str:
    """Return a file's clip name with normalised seconds, or the name of the whole video."""
    found = TIMED.fullmatch(stem)
    return clip_name(found[1], int(found[2]), int(found[3])) if found else youtube_id(stem)


def _of_csv(file: Path) -> Iterator[Row]:
    rows = read_rows(file)
    where, header = next(rows, (f'{file}, line 1', []))
    places = _places(header, where)
    for where, row in rows:
        if len(row) != len(header):
            expected = f'{len(header)} as in the header; quote labels that hold commas'
            raise AnnotationError(f'{where}: there are {len(row)} columns, expected {expected}')
        words = {name: row[place] for name, place in places.items()}
        split = split_of(words['split'], where) if 'split' in words else split_named(file)
        yield _row(words.get('label', ''), words['video'], words['start'], words['end'], split, where)


def _places(header: list[str], where: str) -> dict[str, int]:
    """Return the positions of the columns in :data:`COLUMNS` that the header has."""
    names = [re.sub('[ -]', '_', word.lower()) for word in header]
    places = {key: names.index(name) for key, known in COLUMNS.items() for name in known if name in names}
    if absent := [COLUMNS[key][0] for key in ('video', 'start', 'end') if key not in places]:
        columns = 'label, youtube_id, time_start, time_end, split'
        raise AnnotationError(
            f'{where}: the columns are {header}, and {absent[0]!r} is not among them; expected a header with '
            f'{columns}, so write one if the file has none'
        )
    return places


def _of_json(file: Path) -> Iterator[Row]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise AnnotationError(f'{file}: expected a JSON object of clips by their YouTube ids; {AGAIN}')
    for video, entry in content.items():
        where = f'{file}, key {video!r}'
        about = field(entry, 'annotations', dict, where)
        segment = field(about, 'segment', list, where)
        if len(segment) != 2:
            raise AnnotationError(f'{where}: the segment is {segment!r:.200}, expected its start and its end; {AGAIN}')
        split = split_of(field(entry, 'subset', str, where), where)
        label = field(about, 'label', str, where) if about.get('label') is not None else ''
        yield _row(label, video, segment[0], segment[1], split, where)


def _row(label: str, video: str, start: str | float, end: str | float, split: str, where: str) -> Row:
    if not YOUTUBE_ID.fullmatch(video):
        raise AnnotationError(f'{where}: the YouTube id is {video!r}, expected 11 letters, digits, - or _; {AGAIN}')
    if not label and split != 'test':
        raise AnnotationError(f'{where}: there is no label, which only the test split may lack; {AGAIN}')
    # some copies of the csv files have the quotes of a label twice
    return Row(label.replace('"', '').strip(), video, _seconds(start, where), _seconds(end, where), split)


def _seconds(word: str | float, where: str) -> int:
    try:
        seconds = float(word)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < 1e9:  # nor NaN
        raise AnnotationError(f'{where}: the time is {word!r}, expected seconds; {AGAIN}')
    return int(seconds)
