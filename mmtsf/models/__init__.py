from . import attentions
from .attentions import *  # noqa: F403
from .backbones import TimeSformer
from .heads import TimeSformerHead

__all__ = ['TimeSformer', 'TimeSformerHead', *attentions.__all__]
