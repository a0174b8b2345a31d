from .broken_videos import BrokenVideosHook
from .checkpoint_format import CheckpointFormatHook
from .progress_bar import ProgressBarHook
from .reproducibility import ReproducibilityHook

__all__ = ['BrokenVideosHook', 'CheckpointFormatHook', 'ProgressBarHook', 'ReproducibilityHook']
