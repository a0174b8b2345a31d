"""Read videos from WebDataset shards, tar files of many videos, by an index that tells where in them each one lies."""

from .by_name import check_whole, names_in_shards, shard_of_name, video_by_name
from .shard_index import Shard, ShardError, ShardIndex, ShardVideo, read_classes, read_index
from .video_in_shard import VideoInShard

__all__ = [
    'Shard',
    'ShardError',
    'ShardIndex',
    'ShardVideo',
    'VideoInShard',
    'check_whole',
    'names_in_shards',
    'read_classes',
    'read_index',
    'shard_of_name',
    'video_by_name',
]
