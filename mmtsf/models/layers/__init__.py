from .attention_step import AttentionStep
from .clip_embedding import ClipEmbedding
from .drop_path import DropPath
from .encoder_block import EncoderBlock
from .tokens import Grid, Grouping

__all__ = ['AttentionStep', 'ClipEmbedding', 'DropPath', 'EncoderBlock', 'Grid', 'Grouping']
