"""Read videos from WebDataset shards, tar files of many videos, by an index that tells where in them each one lies."""

from .shard_index import Shard, ShardError, ShardIndex, ShardVideo, read_classes, read_index
from .video_in_shard import VideoInShard

__all__ = ['Shard', 'ShardError', 'ShardIndex', 'ShardVideo', 'VideoInShard', 'read_classes', 'read_index']
