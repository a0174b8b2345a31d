"""Use trained models: classify, extract features, draw attention."""

from mmtsf import models  # noqa: F401  # first: it knows how to import MMAction2 without a warning

from .attention_maps import attention_maps, middle_clip, write_attention
from .clip_packer import ClipPacker, covering
from .features import extract
from .inferencer import TimeSformerInferencer, best_classes
from .live import LiveWindows, is_live, watch
from .recognizer import build_pipeline, inference_recognizer, init_recognizer, views_of
from .timeline import timeline
from .video_inputs import to_sample

__all__ = [
    'ClipPacker',
    'LiveWindows',
    'TimeSformerInferencer',
    'attention_maps',
    'best_classes',
    'build_pipeline',
    'covering',
    'extract',
    'inference_recognizer',
    'init_recognizer',
    'is_live',
    'middle_clip',
    'timeline',
    'to_sample',
    'views_of',
    'watch',
    'write_attention',
]
