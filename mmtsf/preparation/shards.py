"""Pack videos into WebDataset shards with an index, transcoded or as they are."""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import sys
import tarfile
import tempfile
import warnings
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from rich.progress import track
from webdataset import TarWriter

from mmtsf.batch.job import Job, Result
from mmtsf.batch.local import LocalEngine
from mmtsf.batch.parts import Parts
from mmtsf.datasets import VideoListDataset
from mmtsf.datasets.annotation_list import Row, is_number
from mmtsf.datasets.class_names import class_names
from mmtsf.datasets.decoders import BrokenVideoError, Limits
from mmtsf.datasets.shards.shard_index import (
    MOST_CLASSES,
    MOST_NAME,
    Shard,
    ShardVideo,
    head_line,
    inner_name,
    shard_of,
)
from mmtsf.utils.class_folders import find_classes, find_splits, find_videos, has_classes, path_below
from mmtsf.utils.cores import num_cores
from mmtsf.utils.data_root import SHARD_INDEX
from mmtsf.utils.files import PART, alone_in, checksum, make_folder, write_text, written_whole
from mmtsf.utils.locations import within
from mmtsf.utils.results import stoppable
from mmtsf.utils.text import shorten

from .check_videos import check
from .transcode import SETTINGS, TIME_LIMIT, begin, transcode, write_broken
from .video_paths import list_folder, list_source

#: Of the order in which videos are dealt out to shards
SEED = 0
#: What stands beside a shard that is whole until the index is written
RECORD = re.compile(r'(\d{6})\.json')


class Video(NamedTuple):
    """A video of the source.

    Attributes:
        number (int): Its place in the source.
        path (str): Its path, relative to the source's folder.
        labels (list[int]): Its labels.
        name (str): What the index calls it; no other video is called so.
    """

    number: int
    path: str
    labels: list[int]
    name: str

    def entry(self) -> str:
        """Return it as a text, which goes to where it is read."""
        return json.dumps(self)

    @classmethod
    def of(cls, entry: str) -> 'Video':
        """Return the video of such a text."""
        return cls(*json.loads(entry))


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
        source (Source): Where the videos are.
        args (argparse.Namespace): Arguments of :mod:`mmtsf.commands.transcode`.
    """

    in_order = True

    def __init__(self, source: Source, args: argparse.Namespace) -> None:
        self.root, self.classes, self.limits = source.root, source.classes, Limits(**args.limits)
        self.settings = None if args.copy else {name: getattr(args, name) for name in SETTINGS}
        self.time_limit = args.time_limit or TIME_LIMIT
        self.alone = not args.copy  # as Transcode is

    def paths(self) -> list[str]:
        """Return the folder of the videos."""
        return [str(self.root)]

    def prepare(self, video: str) -> bytes:
        """Transcode or copy a video."""
        path = Video.of(video).path
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder, f'video{self.suffix_of(path)}')
            if self.settings is not None:
                transcode(within(self.root, path), target, **self.settings, limits=self.limits)
                return target.read_bytes()
            video_path = within(self.root, path)
            if not video_path.is_file():
                raise BrokenVideoError(path, 'it is no regular file')
            with video_path.open('rb') as source, target.open('wb') as copied:
                shutil.copyfileobj(source, copied)
            check(target, 'pyav', False, self.limits)
            return target.read_bytes()

    def suffix_of(self, path: str) -> str:
        """Return the suffix of a video in its shard."""
        return '.mp4' if self.settings is not None else Path(path).suffix.lower()


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
    settings |= dict(shards=args.shards, videos=plan.hexdigest())
    with alone_in(args.out):
        begin(args.out, settings)
        broken = [write_set(args.out / part, source, args) for part, source in found.items()]
    return 1 if any(broken) else 0


def named(found: Iterable[tuple[str, list[int]]]) -> list[Video]:
    """Return videos of their paths and labels, in order.

    What is no part of a name in an index may be all that tells two paths apart, and a list may name a video twice: from
    the second on they are called ``a (2).mp4``.
    """
    found = list(found)
    names = [inner_name(path) for path, _ in found]
    taken, last, videos = set(names), Counter[str](), []
    for number, (name, (path, labels)) in enumerate(zip(names, found)):
        last[name] += 1
        own = name
        while last[name] > 1 and own in taken:
            stem, suffix = os.path.splitext(name)
            own = f'{stem} ({last[name]}){suffix}'[-MOST_NAME:].lstrip('/')
            last[name] += own in taken
        taken.add(own)
        videos.append(Video(number, path, labels, own))
    return videos


def sources(args: argparse.Namespace) -> dict[str, Source]:
    """Return what goes into which folder below ``args.out``: the splits of a folder of class folders, or all of a
    folder or list.

    Raises:
        ValueError: If there are no videos, or some lie in no class folder beside others that do, or a label is no
            number and none of the class names.
    """
    if args.source.is_dir() and has_classes(args.source):
        classes = find_classes(args.source)
        splits = find_splits(args.source) or {'': args.source}
        found = {split: _of_classes(folder, args.source, classes) for split, folder in splits.items()}
        _check_all(args.source, found.values())
        return found
    root, listed = list_source(args.source, args.root)
    if not listed.rows:
        raise ValueError(f'{args.source} lists no videos; give a folder or a list of video files')
    names = class_names(str(args.classes.resolve()), '', None) if args.classes else None
    labels = _labels(args.source, root, listed.rows, names)
    return {'': Source(root, named((row.path, labels[n]) for n, row in enumerate(listed.rows)), names)}


def _of_classes(folder: Path, root: Path, classes: list[str]) -> Source:
    found = [(path_below(video, root), [label]) for label, name in enumerate(classes) for video in
             find_videos(folder / name, root)]  # fmt: skip
    return Source(root, named(found), classes)


def _check_all(folder: Path, found: Iterable[Source]) -> None:
    """Refuse a folder of class folders that holds videos elsewhere, too.

    Raises:
        ValueError: If it does.
    """
    packed = {video.path for source in found for video in source.videos}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of what has been said of the class folders
        left = sorted(set(list_folder(folder)) - packed)
    if left:
        raise ValueError(
            f'{len(left)} videos of {folder} lie in no class folder, and others do: {shorten(left)}; move them into '
            'class folders, or give a list of all videos that are to be packed'
        )


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


def write_set(out: Any, source: Source, args: argparse.Namespace) -> int:
    """Write the shards of one folder and, when all are whole, their index; return how many videos are broken.

    Videos are dealt out at random, so that each shard holds some of all classes however the source is sorted. Which
    ones a shard holds is known before any is read: however often the work is interrupted, each is in one place, once.
    """
    entries = [video.entry() for video in source.videos]
    random.Random(SEED).shuffle(entries)
    shards = ShardParts(out, args.shards)
    make_folder(out)
    places = {} if (out / SHARD_INDEX).is_file() else shards.left(entries)
    left = sum(map(len, places.values()))
    if left:
        with (
            stoppable(left, 'videos', 'the same command goes on from the last whole shard') as is_done,
            closing(packed(shards, Bring(source, args), entries, places, args)) as results,
        ):
            for result in track(results, 'packing', left, disable=not sys.stdout.isatty()):
                if result.reason:
                    print(f'broken: {Video.of(entries[result.place]).path}: {result.reason}', file=sys.stderr)
                is_done()
    if not (out / SHARD_INDEX).is_file():
        finish(shards, source.classes)
    for path in out.iterdir():  # records, and what a run that was killed has begun
        if RECORD.fullmatch(path.name) or path.name.endswith(PART):
            path.unlink()
    broken = (out / 'broken.txt').read_text(encoding='utf-8').count('\n') if (out / 'broken.txt').is_file() else 0
    print(f'{len(entries)} videos in {out}, {len(entries) - left} of them done before, {broken} broken')
    return broken


def packed(
    shards: 'ShardParts', job: Bring, entries: Sequence[str], places: dict[int, list[int]], args: argparse.Namespace
) -> Generator[Result, None, None]:
    """Write the shards of these places, each by one engine: here one after the other, on a cluster side by side."""
    if args.engine == 'ray':
        from mmtsf.batch.cluster import joined, pool_for, work

        with joined(args.address):
            yield from work(job, entries, pool_for(job, 'cpu'), args.workers, shards.size, places, shards)
        return
    with closing(LocalEngine(job, args.workers or num_cores())) as engine:
        for number in places:
            part = shards.videos(number, entries)
            for result in shards.write(number, part, engine.run(part), job):
                yield result._replace(place=number * shards.size + result.place)


class ShardParts(Parts):
    """A folder of shards, by whose number it is known what each holds."""

    def there(self) -> set[int]:
        """Return the numbers of the shards that are whole."""
        return {int(found[1]) for path in self.folder.iterdir() if (found := RECORD.fullmatch(path.name))}

    def left_of(self, number: int, videos: Sequence[str]) -> list[int]:
        """Return that nothing is left of a shard that is whole."""
        return []

    def write(self, number: int, videos: Sequence[str], results: Iterable[Result], job: Job) -> Iterator[Result]:
        """Write a shard as its videos come, and beside it its line of the index with the reasons of broken videos."""
        assert isinstance(job, Bring)
        name, there, reasons = f'{number:06}.tar', dict[str, Video](), dict[str, str]()
        with written_whole(self.folder / name) as part:
            with part.open('wb') as file, TarWriter(file, user='', group='', mtime=0) as tar:
                for result in results:
                    video = Video.of(videos[result.place])
                    if result.reason:
                        reasons[video.path] = result.reason
                    else:
                        member = f'{video.number:09}{job.suffix_of(video.path)}'
                        tar.write(_sample(member, video, result.value, job.classes))
                        there[member] = video
                    yield result._replace(value=None)
            line = described(part, name, there).line() if there else None
        write_text(self.folder / f'{number:06}.json', json.dumps(dict(line=line, broken=reasons)))


def _sample(member: str, video: Video, data: bytes, classes: list[str] | None) -> dict[str, Any]:
    """A sample in the words of WebDataset."""
    key, _, suffix = member.rpartition('.')
    more: dict[str, Any] = dict(name=video.name, labels=video.labels)
    if classes:
        more['classes'] = [classes[label] for label in video.labels]
    return {'__key__': key, suffix: data, 'json': more} | (dict(cls=video.labels[0]) if len(video.labels) == 1 else {})


def described(file: Path, name: str, videos: dict[str, Video]) -> Shard:
    """Return what the index says of a shard that was written.

    Args:
        file (Path): The tar file.
        name (str): What it will be called.
        videos (dict[str, Video]): Its videos by their names in it.
    """
    with tarfile.open(file, 'r:') as tar:
        places = {member.name: (member.offset_data, member.size) for member in tar}
    found = [ShardVideo(key, *places[key], video.labels, video.name) for key, video in videos.items()]
    return Shard(name, file.stat().st_size, checksum(file), found)


def finish(shards: ShardParts, classes: list[str] | None) -> None:
    """Write the list of broken videos, and then the index of all shards.

    Raises:
        RuntimeError: If no video could be read.
    """
    out, lines, broken, videos = shards.folder, [], dict[str, str](), 0
    records = [out / f'{number:06}.json' for number in sorted(shards.there())]
    for record in records:
        written = json.loads(record.read_text(encoding='utf-8'))
        broken |= written['broken']
        if written['line']:
            lines.append(written['line'])
            videos += len(shard_of(lines[-1].encode(), str(record), MOST_CLASSES).videos)
        else:
            record.with_suffix('.tar').unlink(missing_ok=True)
    write_broken(out / 'broken.txt', broken)
    if not videos:
        raise RuntimeError(f'none of the {len(broken)} videos could be read; see {out / "broken.txt"}')
    with written_whole(out / SHARD_INDEX) as part, part.open('w', encoding='utf-8') as file:
        file.write(head_line(classes, len(lines), videos))
        file.writelines(lines)
