"""Load videos as samples: data sets, transforms, decoders, data loading."""

from . import transforms
from .loading import SeededSampler
from .video_folder import VideoFolderDataset
from .video_list import VideoListDataset

__all__ = ['SeededSampler', 'VideoFolderDataset', 'VideoListDataset', 'transforms']
