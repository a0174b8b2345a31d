from .limits import Limits
from .open_video import DECODERS, open_video
from .reader import ArrayReader, BrokenVideoError, VideoReader

__all__ = ['DECODERS', 'ArrayReader', 'BrokenVideoError', 'Limits', 'VideoReader', 'open_video']
