from .attention_step import AttentionStep
from .clip_embedding import ClipEmbedding
from .cls_key_step import ClsKeyStep
from .drop_path import DropPath
from .encoder_block import EncoderBlock
from .image_embeddings import NormEmbedding, RegisterEmbedding
from .layer_scale import LayerScale
from .lucidrains import LucidrainsBlock, LucidrainsStep
from .mlp import GEGLU, MLP, GatedMLP, QuickGELU, SwiGLU
from .rotary import RotaryPosition
from .rotary_step import RotaryStep
from .tokens import Grid, Grouping
from .tubelet_embedding import TubeletEmbedding

__all__ = [
    'GEGLU',
    'MLP',
    'AttentionStep',
    'ClipEmbedding',
    'ClsKeyStep',
    'DropPath',
    'EncoderBlock',
    'GatedMLP',
    'Grid',
    'Grouping',
    'LayerScale',
    'LucidrainsBlock',
    'LucidrainsStep',
    'NormEmbedding',
    'QuickGELU',
    'RegisterEmbedding',
    'RotaryPosition',
    'RotaryStep',
    'SwiGLU',
    'TubeletEmbedding',
]
