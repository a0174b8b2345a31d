from . import transforms
from .sampler import SeededSampler
from .video_folder import VideoFolderDataset
from .video_list import VideoListDataset

__all__ = ['SeededSampler', 'VideoFolderDataset', 'VideoListDataset', 'transforms']
