from .attentive_head import AttentiveHead
from .timesformer_head import TimeSformerHead

__all__ = ['AttentiveHead', 'TimeSformerHead']
