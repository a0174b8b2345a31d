from .attention_step import AttentionStep
from .clip_embedding import ClipEmbedding
from .drop_path import DropPath
from .encoder_block import EncoderBlock
from .mlp import MLP, GatedMLP
from .rotary import RotaryPosition
from .tokens import Grid, Grouping, real_tokens

__all__ = [
    'MLP',
    'AttentionStep',
    'ClipEmbedding',
    'DropPath',
    'EncoderBlock',
    'GatedMLP',
    'Grid',
    'Grouping',
    'RotaryPosition',
    'real_tokens',
]
