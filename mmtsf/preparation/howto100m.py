"""Read the annotations of HowTo100M: tasks with many videos become classes, hashes split their videos."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .annotations import AnnotationError, Annotations, Clip, collect
from .read_files import AGAIN, read_rows

#: Videos that a task must have to be a class (section 4.6 of the paper)
MIN_VIDEOS = 100
#: Training videos in the paper, of all
TRAINING = (85, 120)


def read_howto100m(files: list[Path]) -> Annotations:
    """Read ``HowTo100M_v1.csv`` and ``task_ids.csv``.

    Classes are the tasks with at least 100 videos, in the order of their ids. The paper does not say how it split their
    videos: here, those of a task are put in the order of the SHA-256 hashes of their ids, and the first 85 of 120 are
    for training. A video of several tasks belongs to the one that the file names first.

    Args:
        files (list[Path]): The two files, in any order.

    Raises:
        AnnotationError: If one is missing or not in the official format.
    """
    is_table = {file: 'video_id' in next(read_rows(file), ('', []))[1] for file in files}
    if sorted(is_table.values()) != [False, True]:
        given = ', '.join(map(str, files))
        raise AnnotationError(
            f'of {given}, {sum(is_table.values())} have a column video_id, expected one of two; give HowTo100M_v1.csv '
            'and task_ids.csv'
        )
    table, titles = sorted(files, key=lambda file: not is_table[file])
    rows = list(_rows(table))
    counts = Counter(task for _, task in set(rows))
    tasks = sorted(task for task, count in counts.items() if count >= MIN_VIDEOS)
    label_of: dict[int, int] = {task: label for label, task in enumerate(tasks)}
    rows = [(video, task) for video, task in rows if task in label_of]
    splits = split_videos(rows)
    clips = (Clip(video, splits[video], label_of[task]) for video, task in rows)
    return collect(_names(tasks, dict(_titles(titles))), clips)


def split_videos(rows: list[tuple[str, int]]) -> dict[str, str]:
    """Assign every video to a split by the hash of its id within its first task.

    Args:
        rows (list[tuple[str, int]]): Videos and their tasks.
    """
    task_of: dict[str, int] = {}
    for video, task in rows:
        task_of.setdefault(video, task)
    videos_of: dict[int, list[str]] = {}
    for video, task in task_of.items():
        videos_of.setdefault(task, []).append(video)
    splits = {}
    for videos in videos_of.values():
        videos.sort(key=lambda video: hashlib.sha256(video.encode()).digest())
        count = round(len(videos) * TRAINING[0] / TRAINING[1])
        splits.update({video: 'train' if place < count else 'val' for place, video in enumerate(videos)})
    return splits


def _rows(file: Path) -> Iterator[tuple[str, int]]:
    rows = read_rows(file)
    where, header = next(rows)
    for name in ('video_id', 'task_id'):
        if name not in header:
            raise AnnotationError(f'{where}: the columns are {header}, and {name!r} is not among them; {AGAIN}')
    video, task = header.index('video_id'), header.index('task_id')
    for where, row in rows:
        if len(row) != len(header) or not row[task].isdecimal() or not row[video]:
            raise AnnotationError(f'{where}: it is {row!r:.200}, expected {", ".join(header)}; {AGAIN}')
        yield row[video], int(row[task])


def _titles(file: Path) -> Iterator[tuple[int, str]]:
    """Read the titles by task from a tab-separated file without a header."""
    first = next(read_rows(file), ('', ['']))[1]
    delimiter = '\t' if any('\t' in word for word in first) else ','
    for number, (where, row) in enumerate(read_rows(file, delimiter)):
        if row[0].isdecimal() and len(row) > 1:
            yield int(row[0]), ', '.join(row[1:])
        elif number:
            raise AnnotationError(f'{where}: it is {row!r:.200}, expected the number of a task and its title; {AGAIN}')


def _names(tasks: list[int], titles: dict[int, str]) -> list[str]:
    """Name the classes by their tasks' titles, and by the task's number where a title is missing or not unique."""
    names = [titles.get(task, 'task') for task in tasks]
    counts = Counter(names)
    return [
        name if task in titles and counts[name] == 1 else f'{name} {task}'
        for task, name in zip(tasks, names, strict=True)
    ]
