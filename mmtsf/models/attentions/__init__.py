from .axial import AxialAttention
from .divided import DividedAttention
from .joint import JointAttention
from .local_global import LocalGlobalAttention
from .scheme import AttentionScheme
from .space import SpaceAttention

__all__ = [
    'AttentionScheme',
    'AxialAttention',
    'DividedAttention',
    'JointAttention',
    'LocalGlobalAttention',
    'SpaceAttention',
]
