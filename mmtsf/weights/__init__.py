from .fit import fit
from .geometry import backbone_config, build, head_config
from .numbers import not_finite
from .pretrained import Pretrained
from .reader import read_checkpoint
from .translate import Weights, translate, translate_back

__all__ = [
    'Pretrained',
    'Weights',
    'backbone_config',
    'build',
    'fit',
    'head_config',
    'not_finite',
    'read_checkpoint',
    'translate',
    'translate_back',
]
