from .crop_views import CropViews
from .sample_clips import SampleClips
from .video import DecodeFrames, OpenVideo

__all__ = ['CropViews', 'DecodeFrames', 'OpenVideo', 'SampleClips']
