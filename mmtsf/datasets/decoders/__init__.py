"""Open and decode video files and folders of frames."""

from .broken import BrokenVideoError
from .limits import Limits
from .local_file import file_url, open_stream
from .open_video import DECODERS, check_decoder, open_video
from .reader import ArrayReader, VideoReader, times_of

__all__ = [
    'DECODERS',
    'ArrayReader',
    'BrokenVideoError',
    'Limits',
    'VideoReader',
    'check_decoder',
    'file_url',
    'open_stream',
    'open_video',
    'times_of',
]
