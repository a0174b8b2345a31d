from .sampler import SeededSampler
from .transforms import CropViews, DecodeFrames, OpenVideo, SampleClips
from .video_folder import VideoFolderDataset
from .video_list import VideoListDataset

__all__ = [
    'CropViews',
    'DecodeFrames',
    'OpenVideo',
    'SampleClips',
    'SeededSampler',
    'VideoFolderDataset',
    'VideoListDataset',
]
