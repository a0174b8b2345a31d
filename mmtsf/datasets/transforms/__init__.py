"""Transform videos into clips: open, sample, decode, crop, augment."""

from .crop_views import CropViews
from .for_each_clip import ForEachClip, flat_collate
from .rand_augment import RandAugment
from .read_video import DecodeFrames, OpenVideo, open_as
from .released_sampling import ReleasedSampleClips, ReleasedSampleSegments
from .released_scaling import ReleasedCropViews, ReleasedResize, ReleasedTestResize
from .sample_clips import SampleClips
from .sample_segments import SampleSegments

__all__ = [
    'CropViews',
    'DecodeFrames',
    'ForEachClip',
    'OpenVideo',
    'RandAugment',
    'ReleasedCropViews',
    'ReleasedResize',
    'ReleasedSampleClips',
    'ReleasedSampleSegments',
    'ReleasedTestResize',
    'SampleClips',
    'SampleSegments',
    'flat_collate',
    'open_as',
]
