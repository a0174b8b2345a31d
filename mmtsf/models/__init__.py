from mmtsf.compat import without_mmcv_warning

with without_mmcv_warning():
    import mmaction.models  # noqa: F401

from . import attentions
from .attentions import *  # noqa: F403
from .backbones import TimeSformer
from .blending import RandomBlending
from .heads import AttentiveHead, TimeSformerHead
from .losses import FocalLoss, LogitAdjustedLoss
from .recognizers import VideoRecognizer

__all__ = [
    'AttentiveHead',
    'FocalLoss',
    'LogitAdjustedLoss',
    'RandomBlending',
    'TimeSformer',
    'TimeSformerHead',
    'VideoRecognizer',
    *attentions.__all__,
]
