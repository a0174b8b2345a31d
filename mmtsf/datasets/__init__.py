from .sampler import SeededSampler
from .transforms import CropViews, DecodeFrames, ForEachClip, OpenVideo, SampleClips, SampleSegments, flat_collate
from .video_folder import VideoFolderDataset
from .video_list import VideoListDataset

__all__ = [
    'CropViews',
    'DecodeFrames',
    'ForEachClip',
    'OpenVideo',
    'SampleClips',
    'SampleSegments',
    'SeededSampler',
    'VideoFolderDataset',
    'VideoListDataset',
    'flat_collate',
]
