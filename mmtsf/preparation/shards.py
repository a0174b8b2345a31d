"""Pack videos into WebDataset shards with an index, transcoded or as they are."""

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich.progress import track
from webdataset import TarWriter

from mmtsf.batch.engine import run
from mmtsf.batch.job import Job
from mmtsf.datasets import VideoListDataset
from mmtsf.datasets.annotation_list import Row, is_number
from mmtsf.datasets.class_names import class_names
from mmtsf.datasets.decoders import BrokenVideoError, Limits
from mmtsf.datasets.shards.shard_index import MOST_CLASSES, Shard, ShardVideo, head_line, inner_name, shard_of
from mmtsf.utils.class_folders import find_classes, find_splits, find_videos, has_classes
from mmtsf.utils.data_root import SHARD_INDEX
from mmtsf.utils.files import PART, write_text, written_whole
from mmtsf.utils.results import stoppable

from .check_videos import check
from .transcode import SETTINGS, TIME_LIMIT, begin, transcode, write_broken
from .video_paths import list_source

#: Of the order in which videos are dealt out to shards
SEED = 0


class Video(NamedTuple):
    """A video of the source.

    Attributes:
        number (int): Its place in the source.
        path (str): Its path, relative to the source's folder.
        labels (list[int]): Its labels.
    """

    number: int
    path: str
    labels: list[int]


class Source(NamedTuple):
    """Videos that become the shards of one folder.

    Attributes:
        root (Path): Their folder.
        videos (list[Video]): The videos.
        classes (list[str] | None): Names of the classes; None where labels are numbers alone.
    """

    root: Any
    videos: list[Video]
    classes: list[str] | None


class Bring(Job):
    """Make the bytes of a video that go into a shard: transcoded, or those that are there, if it can be read.

    Args:
        root (Path): Folder of the videos.
        args (argparse.Namespace): Arguments of :mod:`mmtsf.commands.transcode`.
        folder (Path, optional): Where it is written meanwhile. Defaults to None: the machine's own for such files.
    """

    def __init__(self, root: Any, args: argparse.Namespace, folder: Path | None = None) -> None:
        self.root, self.folder, self.limits = root, folder, Limits(**args.limits)
        self.settings = None if args.copy else {name: getattr(args, name) for name in SETTINGS}
        self.time_limit = args.time_limit or TIME_LIMIT

    def prepare(self, video: str) -> bytes:
        """Transcode or copy a video."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            target = Path(folder, self.name_of(video, 0))
            if self.settings is not None:
                transcode(self.root / video, target, **self.settings, limits=self.limits)
                return target.read_bytes()
            if not (self.root / video).is_file():
                raise BrokenVideoError(video, 'it is no regular file')
            with (self.root / video).open('rb') as source, target.open('wb') as copied:
                shutil.copyfileobj(source, copied)
            check(target, 'pyav', False, self.limits)
            return target.read_bytes()

    def name_of(self, video: str, number: int) -> str:
        """What a video is called in its shard."""
        return f'{number:09}{".mp4" if self.settings is not None else Path(video).suffix.lower()}'


def write_shards(args: argparse.Namespace) -> int:
    """Write the videos of a folder or a list into shards, as far as that is not done yet.

    Args:
        args (argparse.Namespace): Arguments of :mod:`mmtsf.commands.transcode`.

    Raises:
        ValueError: If there are no videos, or the folder holds something else.

    Returns:
        int: 1 if a video is broken.
    """
    found = sources(args)
    settings: dict[str, Any] = {} if args.copy else {name: getattr(args, name) for name in SETTINGS}
    plan = hashlib.sha256(repr([[part, *source[1:]] for part, source in found.items()]).encode(errors='replace'))
    begin(args.out, {**settings, 'shards': args.shards, 'videos': plan.hexdigest()})
    broken = [write_set(args.out / part, source, args) for part, source in found.items()]
    return 1 if any(broken) else 0


def sources(args: argparse.Namespace) -> dict[str, Source]:
    """Return what goes into which folder below ``args.out``: the splits of a folder of class folders, or all of a
    folder or list.

    Raises:
        ValueError: If there are no videos, or a label is no number and none of the class names.
    """
    if args.source.is_dir() and has_classes(args.source):
        classes = find_classes(args.source)
        splits = find_splits(args.source) or {'': args.source}
        return {split: _of_classes(folder, args.source, classes) for split, folder in splits.items()}
    root, listed = list_source(args.source, args.root)
    if not listed.rows:
        raise ValueError(f'{args.source} lists no videos; give a folder or a list of video files')
    names = class_names(str(args.classes.resolve()), '', None) if args.classes else None
    labels = _labels(args.source, root, listed.rows, names)
    return {'': Source(root, [Video(n, row.path, labels[n]) for n, row in enumerate(listed.rows)], names)}


def _of_classes(folder: Path, root: Path, classes: list[str]) -> Source:
    found = [(str(video.relative_to(root)), label) for label, name in enumerate(classes) for video in
             find_videos(folder / name, root)]  # fmt: skip
    return Source(root, [Video(number, path, [label]) for number, (path, label) in enumerate(found)], classes)


def _labels(file: Path, root: Path, rows: list[Row], names: list[str] | None) -> list[list[int]]:
    """Labels of the rows of a list, as training reads them; none of one without labels."""
    words = [word for row in rows for word in row.labels]
    if not words:
        return [[] for _ in rows]
    if names is None and (unknown := next((word for word in words if not is_number(word)), None)):
        raise ValueError(
            f'{file} has the label {unknown!r}; give the names of the classes as --classes FILE, one a line'
        )
    number = max((min(int(word[:9]), MOST_CLASSES) for word in words), default=0) + 1 if names is None else None
    several = any(len(row.labels) > 1 for row in rows)
    dataset = VideoListDataset(
        str(file.resolve()), [], number, video_dir=str(root.resolve()), classes=names, multi_class=several
    )
    return [dataset.get_cat_ids(index) for index in range(len(dataset))]


def deal(videos: list[Video], most: int) -> list[list[Video]]:
    """Deal videos out to shards at random, so that each holds videos of all classes, however the source is sorted.

    Args:
        videos (list[Video]): The videos.
        most (int): Videos a shard, at most; all have as many, or one less.
    """
    order = list(videos)
    random.Random(SEED).shuffle(order)
    shards = -(-len(order) // most)
    return [order[number::shards] for number in range(shards)]


def write_set(out: Any, source: Source, args: argparse.Namespace) -> int:
    """Write the shards of one folder and, when all are whole, their index; return how many videos are broken.

    Which videos a shard holds is known before any is read, and a shard is written when all of them are there: however
    often the work is interrupted, each video is in one place, once.
    """
    shards = deal(source.videos, args.shards)
    records = [out / f'{number:06}.json' for number in range(len(shards))]
    is_done = (out / SHARD_INDEX).is_file()
    left = {} if is_done else {n: shards[n] for n, record in enumerate(records) if not record.is_file()}
    with _stage(out) as stage:
        for number, reasons in brought(left, source, stage, args):
            pack(out, number, shards[number], reasons, source.classes, stage)
        if not is_done:
            finish(out, records, source.classes)
    broken = (out / 'broken.txt').read_text(encoding='utf-8').count('\n') if (out / 'broken.txt').is_file() else 0
    before = len(source.videos) - sum(map(len, left.values()))
    print(f'{len(source.videos)} videos in {out}, {before} of them done before, {broken} broken')
    return broken


@contextmanager
def _stage(out: Any) -> Iterator[Path]:
    """A folder for videos that wait for the others of their shard; on the disk it outlives an interruption."""
    if not isinstance(out, Path):
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    folder = out / 'waiting'
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    shutil.rmtree(folder)


def brought(
    shards: dict[int, list[Video]], source: Source, stage: Path, args: argparse.Namespace
) -> Iterator[tuple[int, dict[str, str]]]:
    """Put the videos of shards into a folder, where those of an earlier run may wait.

    Yields:
        tuple[int, dict[str, str]]: A shard of which all videos are there, and by path why others are broken.
    """
    job = Bring(source.root, args, stage if args.engine == 'local' else None)
    waiting = {entry.name for entry in os.scandir(stage)}
    left = [(n, v) for n, videos in shards.items() for v in videos if job.name_of(v.path, v.number) not in waiting]
    missing = Counter(number for number, _ in left)
    reasons: dict[int, dict[str, str]] = {number: {} for number in shards}
    yield from ((number, {}) for number in shards if not missing[number])
    with (
        stoppable(len(left), 'videos', 'the same command goes on from here') as is_done,
        closing(run(job, [video.path for _, video in left], args)) as results,
    ):
        for result in track(results, 'packing', len(left), disable=not sys.stdout.isatty()):
            number, video = left[result.place]
            if result.reason:
                reasons[number][video.path] = result.reason
                print(f'broken: {video.path}: {result.reason}', file=sys.stderr)
            else:
                with written_whole(stage / job.name_of(video.path, video.number), synced=False) as part:
                    part.write_bytes(result.value)
            missing[number] -= 1
            if not missing[number]:
                yield number, reasons[number]
            is_done()


def pack(
    out: Any, number: int, videos: list[Video], reasons: dict[str, str], classes: list[str] | None, stage: Path
) -> None:
    """Write a shard and, when it is whole, its line of the index with the reasons of its broken videos beside it."""
    files = {path.stem: path.name for path in stage.iterdir() if path.suffix != PART}
    there = {files[key]: video for video in videos if (key := f'{video.number:09}') in files}
    line = None
    if there:
        with written_whole(out / f'{number:06}.tar') as part:
            with part.open('wb') as file, TarWriter(file, user='', group='', mtime=0) as tar:
                for name, video in there.items():
                    tar.write(_sample(stage / name, video, classes))
            line = described(part, f'{number:06}.tar', there).line()
    write_text(out / f'{number:06}.json', json.dumps(dict(line=line, broken=reasons)))
    for name in there:
        (stage / name).unlink()


def _sample(file: Path, video: Video, classes: list[str] | None) -> dict[str, Any]:
    """A sample in the words of WebDataset."""
    more = dict(name=inner_name(video.path), labels=video.labels)
    if classes:
        more['classes'] = [classes[label] for label in video.labels]
    sample = {'__key__': file.stem, file.suffix[1:]: file.read_bytes(), 'json': more}
    return sample | (dict(cls=video.labels[0]) if len(video.labels) == 1 else {})


def described(file: Path, name: str, videos: dict[str, Video]) -> Shard:
    """What the index says of a shard that was written.

    Args:
        file (Path): The tar file.
        name (str): What it will be called.
        videos (dict[str, Video]): Its videos by their names in it.
    """
    with tarfile.open(file, 'r:') as tar:
        found = [
            ShardVideo(member.name, member.offset_data, member.size, videos[member.name].labels,
                       inner_name(videos[member.name].path))
            for member in tar if member.name in videos
        ]  # fmt: skip
    digest = hashlib.sha256()
    with file.open('rb') as data:
        while block := data.read(2**20):
            digest.update(block)
    return Shard(name, file.stat().st_size, digest.hexdigest(), found)


def finish(out: Any, records: list[Any], classes: list[str] | None) -> None:
    """Write the index of all shards and the list of broken videos, and remove what they were made of.

    Raises:
        RuntimeError: If no video could be read.
    """
    lines, broken, videos = [], dict[str, str](), 0
    for record in records:
        written = json.loads(record.read_text(encoding='utf-8'))
        broken |= written['broken']
        if written['line']:
            lines.append(written['line'])
            videos += len(shard_of(lines[-1].encode(), str(record), MOST_CLASSES).videos)
    write_broken(out / 'broken.txt', broken)
    if not videos:
        raise RuntimeError(f'none of the {len(broken)} videos could be read; see {out / "broken.txt"}')
    with written_whole(out / SHARD_INDEX) as part, part.open('w', encoding='utf-8') as file:
        file.write(head_line(classes, len(lines), videos))
        file.writelines(lines)
    for record in records:
        record.unlink()
