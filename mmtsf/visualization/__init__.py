from .figures import draw_attention, draw_confusion_matrix, draw_curves
from .rollout import rollout

__all__ = ['draw_attention', 'draw_confusion_matrix', 'draw_curves', 'rollout']
