"""Find videos in shards by names such as ``shards/000003.tar/run/a.mp4``, which commands list and open like files."""

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmtsf.utils.data_root import shard_folders
from mmtsf.utils.locations import is_address, location

from .shard_cache import check_shard, fetch
from .shard_index import Shard, ShardVideo, read_index
from .video_in_shard import VideoInShard


def names_in_shards(root: Any) -> list[str]:
    """Return the names of all videos in the shards of a folder, or of those of its splits, relative to it; none if it
    holds no shards.

    Raises:
        ShardError: If an index is none.
    """
    found = []
    for folder in shard_folders(root):
        split = '' if folder == root else f'{folder.name}/'
        found += [f'{split}{shard}/{name}' for shard, name in _videos(str(folder))]
    return found


def shard_of_name(path: str) -> str | None:
    """Return the path of the shard that a name tells; None if it tells none that an index lists."""
    found = _found(path)
    return None if found is None else str(found[0] / found[1].name)


def video_by_name(path: str) -> VideoInShard | None:
    """Open the video that a name stands for; None if it is that of no video in a shard.

    Raises:
        OSError: If the shard cannot be read.
        ShardError: If it does not fit its index.
    """
    found = _found(path)
    return None if found is None else VideoInShard(*found)


def check_whole(path: str) -> bool:
    """Compare all bytes of a shard with its index; return False for any other path.

    Raises:
        OSError: If it cannot be read.
        ShardError: If it has others.
    """
    file: Any = location(path)
    listed = _listed(file.parent).values() if path.endswith('.tar') else ()
    shards = {shard.name: shard for shard, _ in listed}
    if file.name not in shards:
        return False
    with tempfile.TemporaryDirectory() as folder:
        if is_address(path):
            fetch(file, shards[file.name], Path(folder, file.name))
        else:
            check_shard(file, shards[file.name], path)
    return True


def _found(path: str) -> tuple[Any, Shard, ShardVideo] | None:
    end = len(path)
    while (end := path.rfind('.tar/', 0, end)) >= 0:  # folders and videos may be called so, too
        file: Any = location(path[: end + 4])
        if found := _listed(file.parent).get((file.name, path[end + 5 :])):
            return file.parent, *found
    return None


def _listed(folder: Any) -> dict[tuple[str, str], tuple[Shard, ShardVideo]]:
    """Videos by the names of shards and theirs; none where no index is."""
    try:
        return _videos(str(folder))
    except (FileNotFoundError, NotADirectoryError):
        return {}


@lru_cache(maxsize=8)  # processes that are forked from one that has listed a folder share it
def _videos(folder: str) -> dict[tuple[str, str], tuple[Shard, ShardVideo]]:
    shards = read_index(location(folder)).shards
    return {(shard.name, video.name): (shard._replace(videos=[]), video) for shard in shards for video in shard.videos}
