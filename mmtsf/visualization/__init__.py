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
    overlay,
)
from .video_writer import with_words, write_video

__all__ = [
    'attention_of',
    'draw_attention',
    'draw_clip_accuracies',
    'draw_clips',
    'draw_confusion_matrix',
    'draw_curves',
    'draw_points',
    'draw_timeline',
    'overlay',
    'rollout',
    'with_words',
    'write_video',
]
