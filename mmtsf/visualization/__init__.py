"""Draw clips, attention and results."""

from .attention_rollout import attention_of, rollout
from .figures import (
    draw_attention,
    draw_clip_accuracies,
    draw_clips,
    draw_confusion_matrix,
    draw_curves,
    draw_points,
    draw_timeline,
)
from .overlay import heat, overlay, relative
from .video_writer import write_video
from .words import with_words

__all__ = [
    'attention_of',
    'draw_attention',
    'draw_clip_accuracies',
    'draw_clips',
    'draw_confusion_matrix',
    'draw_curves',
    'draw_points',
    'draw_timeline',
    'heat',
    'overlay',
    'relative',
    'rollout',
    'with_words',
    'write_video',
]
