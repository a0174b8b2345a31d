from .broken_videos import BrokenVideosHook
from .checkpoint_format import CheckpointFormatHook
from .fuse import FuseHook
from .progress_bar import ProgressBarHook
from .reproducibility import ReproducibilityHook

__all__ = ['BrokenVideosHook', 'CheckpointFormatHook', 'FuseHook', 'ProgressBarHook', 'ReproducibilityHook']
