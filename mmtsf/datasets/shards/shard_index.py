"""Read the index of a folder of shards: which videos lie where in which tar file, their labels, names and classes."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import IO, Any, NamedTuple

from mmtsf.utils.data_root import SHARD_INDEX
from mmtsf.utils.locations import is_address
from mmtsf.utils.media import VIDEOS
from mmtsf.utils.names import is_name
from mmtsf.utils.read_text import open_text
from mmtsf.utils.text import shorten

#: What the first line says
FORMAT = 'mmtsf shards 1'
#: Bytes of a block of a tar file; headers take one
BLOCK = 512
#: Most bytes of a line, which holds a shard, and of a shard
MOST_LINE, MOST_SIZE = 2**27, 2**48
#: Most classes, shards and labels a video
MOST_CLASSES, MOST_SHARDS, MOST_LABELS = 1_000_000, 1_000_000, 1000
#: Characters of the name of a video
MOST_NAME = 4096
SHARD_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.tar')
MEMBER_NAME = re.compile(rf'[A-Za-z0-9_-]{{1,80}}\.(?:{"|".join(sorted(suffix[1:] for suffix in VIDEOS))})')
CHECKSUM = re.compile('[0-9a-f]{64}')
REMEDY = 'write the shards anew with mmtsf transcode --shards'


class ShardError(ValueError):
    """An index, or a shard that does not fit it."""


class ShardVideo(NamedTuple):
    """A video in a shard.

    Attributes:
        member (str): Its name in the tar file.
        offset (int): Where its bytes begin, behind a header of one block.
        size (int): How many they are.
        labels (list[int]): Its labels; none where the source told none.
        name (str): Its path in the source that the shards were made of.
    """

    member: str
    offset: int
    size: int
    labels: list[int]
    name: str


class Shard(NamedTuple):
    """A tar file of videos.

    Attributes:
        name (str): Its name, in the folder of the index.
        size (int): Its bytes.
        sha256 (str): Their checksum.
        videos (list[ShardVideo]): What it holds.
    """

    name: str
    size: int
    sha256: str
    videos: list[ShardVideo]

    def line(self) -> str:
        """The shard's line of the index."""
        return json.dumps(self._asdict(), separators=(',', ':')) + '\n'


class ShardIndex(NamedTuple):
    """What the folder holds.

    Attributes:
        classes (list[str] | None): Names of the classes in the order of the labels; None where labels are numbers
            alone.
        shards (list[Shard]): The tar files, each with one video at least.
    """

    classes: list[str] | None
    shards: list[Shard]


def head_line(classes: Sequence[str] | None, shards: int, videos: int) -> str:
    """The first line of an index."""
    return json.dumps(dict(format=FORMAT, classes=classes, shards=shards, videos=videos)) + '\n'


def read_index(folder: Any) -> ShardIndex:
    """Read the index of a folder of shards.

    It is data of unknown origin: its types, numbers and names are checked, and it names no file but those beside it.

    Args:
        folder (Path): The folder, on the disk or at an address.

    Raises:
        OSError: If there is none, or it cannot be read.
        ShardError: If it is not whole, or has something that :func:`mmtsf.preparation.shards.write_shards` does not
            write.
    """
    try:
        return _read_index(folder)
    except ShardError:
        if not is_address(folder):
            raise
        from mmtsf.utils.remote_cache import drop_damaged

        if not drop_damaged(folder / SHARD_INDEX):
            raise
    return _read_index(folder)


def _read_index(folder: Any) -> ShardIndex:
    with open_index(folder) as file:
        classes, num_shards, num_videos = _head(folder, file)
        shards = list(_shards(folder, file, MOST_CLASSES if classes is None else len(classes)))
    found = len(shards), sum(len(shard.videos) for shard in shards)
    if found != (num_shards, num_videos):
        raise ShardError(
            f'{folder / SHARD_INDEX} lists {found[0]} shards of {found[1]} videos, and its first line says '
            f'{num_shards} of {num_videos}; {REMEDY}'
        )
    if len({shard.name for shard in shards}) < len(shards):
        raise ShardError(f'{folder / SHARD_INDEX} lists a shard twice; {REMEDY}')
    names = Counter(video.name for shard in shards for video in shard.videos)
    if len(names) < num_videos:
        raise ShardError(f'{folder / SHARD_INDEX} lists {names.most_common(1)[0][0]!r} twice; {REMEDY}')
    return ShardIndex(classes, shards)


def read_classes(folder: Any) -> list[str] | None:
    """Read the names of the classes alone; errors are those of :func:`read_index`."""
    with open_index(folder) as file:
        return _head(folder, file)[0]


def open_index(folder: Any) -> IO[bytes]:
    """Open the index of a folder."""
    return open_text(folder / SHARD_INDEX)


def _head(folder: Any, file: IO[bytes]) -> tuple[list[str] | None, int, int]:
    values = _parsed(file.readline(MOST_LINE), f'{folder / SHARD_INDEX}, line 1')
    is_ours = isinstance(values, dict) and values.get('format') == FORMAT
    if not is_ours or not all(_is_number(values.get(name), 0, MOST_SIZE) for name in ('shards', 'videos')):
        raise ShardError(f'{folder / SHARD_INDEX} does not begin with the line of {FORMAT!r}; {REMEDY}')
    classes = values.get('classes')
    if classes is None:
        return None, values['shards'], values['videos']
    good = isinstance(classes, list) and 0 < len(classes) <= MOST_CLASSES and all(map(is_name, classes))
    if not good or len(set(classes)) < len(classes):
        raise ShardError(f'{folder / SHARD_INDEX}, line 1: classes are no list of different names; {REMEDY}')
    return classes, values['shards'], values['videos']


def _shards(folder: Any, file: IO[bytes], num_classes: int) -> Iterator[Shard]:
    for number in range(2, MOST_SHARDS + 2):
        if not (line := file.readline(MOST_LINE)):
            return
        yield shard_of(line, f'{folder / SHARD_INDEX}, line {number}', num_classes)
    raise ShardError(f'{folder / SHARD_INDEX} has more than {MOST_SHARDS} shards; {REMEDY}')


def shard_of(line: bytes, where: str, num_classes: int) -> Shard:
    """Parse a line of an index.

    Args:
        line (bytes): The line.
        where (str): Where it stands, for messages.
        num_classes (int): Labels lie below.

    Raises:
        ShardError: If it is none.
    """
    values = _parsed(line, where)
    checks: dict[str, Callable[[Any], bool]] = dict(
        name=lambda name: isinstance(name, str) and SHARD_NAME.fullmatch(name) is not None,
        size=lambda size: _is_number(size, BLOCK, MOST_SIZE),
        sha256=lambda digest: isinstance(digest, str) and CHECKSUM.fullmatch(digest) is not None,
        videos=lambda videos: isinstance(videos, list) and len(videos) > 0,
    )
    for name, is_good in checks.items():
        if not isinstance(values, dict) or not is_good(values.get(name)):
            found = shorten([repr(values.get(name) if isinstance(values, dict) else values)[:100]])
            raise ShardError(f'{where}: the {name} of a shard is {found}; {REMEDY}')
    for video in values['videos']:
        if fault := _fault(video, values['size'], num_classes):
            raise ShardError(f'{where}: {fault}, in {shorten([repr(video)[:200]])} of {values["name"]}; {REMEDY}')
    videos = [ShardVideo(*video) for video in values['videos']]
    if len({video.member for video in videos}) < len(videos):
        raise ShardError(f'{where}: {values["name"]} lists a file twice; {REMEDY}')
    return Shard(values['name'], values['size'], values['sha256'], videos)


def _parsed(line: bytes, where: str) -> Any:
    try:
        if not line.endswith(b'\n'):
            raise ValueError('the line has no end')
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ShardError(f'{where} is no JSON ({error}); {REMEDY}') from None


def _fault(video: Any, shard_size: int, num_classes: int) -> str | None:
    """What is wrong with a video of a shard; None if nothing is."""
    if not isinstance(video, list) or len(video) != len(ShardVideo._fields):
        return f'a video is not {ShardVideo._fields}'
    member, offset, size, labels, name = video
    if not isinstance(member, str) or not MEMBER_NAME.fullmatch(member):
        return 'the name of a file is none'
    if not _is_number(offset, BLOCK, shard_size) or offset % BLOCK or not _is_number(size, 1, shard_size - offset):
        return 'a video lies outside its shard'
    if not isinstance(labels, list) or len(labels) > MOST_LABELS or len(set(map(str, labels))) < len(labels):
        return 'labels are no list of different numbers'
    if not all(_is_number(label, 0, num_classes - 1) for label in labels):
        return f'a label is not in [0, {num_classes})'
    return None if is_inner(name) else 'the name of a video is no path within a folder'


def is_inner(name: Any) -> bool:
    """Return whether a name is a printable path within a folder, with ``/`` between its parts."""
    if not isinstance(name, str) or not 0 < len(name) <= MOST_NAME or not name.isprintable() or '\\' in name:
        return False
    path = PurePosixPath(name)
    return str(path) == name != '.' and not path.is_absolute() and '..' not in path.parts


def inner_name(path: str) -> str:
    """Return the name that a video has in an index: its path or address, without what :func:`is_inner` refuses."""
    parts = PurePosixPath(re.sub('^[a-z][a-z0-9+.-]+://', '', path)).parts
    inner = '/'.join(part for part in parts if part not in ('/', '//', '..'))
    return ''.join(sign if sign.isprintable() and sign != '\\' else '\ufffd' for sign in inner)[-MOST_NAME:]


def _is_number(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
