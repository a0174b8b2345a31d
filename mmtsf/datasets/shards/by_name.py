"""Find videos in shards by names such as ``shards/000003.tar/run/a.mp4``, which commands list and open like files."""

from functools import lru_cache
from typing import Any

from mmtsf.utils.data_root import SHARD_INDEX, shard_folders
from mmtsf.utils.locations import location

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


def _found(path: str) -> tuple[Any, Shard, ShardVideo] | None:
    shard, tar, name = path.partition('.tar/')
    folder = location(f'{shard}.tar').parent if tar else None
    if folder is None or not (folder / SHARD_INDEX).is_file():
        return None
    found = _videos(str(folder)).get((f'{location(shard).name}.tar', name))
    return found and (folder, *found)


@lru_cache(maxsize=8)  # processes that are forked from one that has listed a folder share it
def _videos(folder: str) -> dict[tuple[str, str], tuple[Shard, ShardVideo]]:
    shards = read_index(location(folder)).shards
    return {(shard.name, video.name): (shard._replace(videos=[]), video) for shard in shards for video in shard.videos}
