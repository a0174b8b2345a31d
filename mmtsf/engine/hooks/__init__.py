from .broken_videos import BrokenVideosHook
from .checkpoint import CheckpointHook
from .checkpoint_format import CheckpointFormatHook
from .finite_loss import FiniteLossHook
from .fuse import FuseHook
from .logger import LoggerHook
from .preemption import PreemptionHook
from .progress_bar import ProgressBarHook
from .reproducibility import ReproducibilityHook
from .runtime_info import RuntimeInfoHook
from .unequal_classes import UnequalClassesHook
from .validation_clips import ValidationClipsHook

__all__ = [
    'BrokenVideosHook',
    'CheckpointFormatHook',
    'CheckpointHook',
    'FiniteLossHook',
    'FuseHook',
    'LoggerHook',
    'PreemptionHook',
    'ProgressBarHook',
    'ReproducibilityHook',
    'RuntimeInfoHook',
    'UnequalClassesHook',
    'ValidationClipsHook',
]
