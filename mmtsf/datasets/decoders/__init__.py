from .open_video import DECODERS, open_video
from .reader import ArrayReader, BrokenVideoError, VideoReader

__all__ = ['DECODERS', 'ArrayReader', 'BrokenVideoError', 'VideoReader', 'open_video']
