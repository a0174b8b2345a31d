"""Load videos as samples: data sets, transforms, decoders, data loading."""

from . import transforms
from .loading import SeededSampler
from .video_folder import VideoFolderDataset
from .video_list import VideoListDataset
from .video_shards import VideoShardsDataset

__all__ = ['SeededSampler', 'VideoFolderDataset', 'VideoListDataset', 'VideoShardsDataset', 'transforms']
