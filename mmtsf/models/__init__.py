from .attentions import (
    AttentionScheme,
    AxialAttention,
    DividedAttention,
    JointAttention,
    LocalGlobalAttention,
    SpaceAttention,
)
from .backbones import TimeSformer
from .heads import TimeSformerHead

__all__ = [
    'AttentionScheme',
    'AxialAttention',
    'DividedAttention',
    'JointAttention',
    'LocalGlobalAttention',
    'SpaceAttention',
    'TimeSformer',
    'TimeSformerHead',
]
