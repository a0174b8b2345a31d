from .build import backbone_config, build, head_config
from .classes import classes_of
from .fit import fit
from .geometry import Geometry
from .numbers import not_finite
from .pretrained import Pretrained
from .reader import read_checkpoint
from .translate import Weights, translate, translate_back

__all__ = [
    'Geometry',
    'Pretrained',
    'Weights',
    'backbone_config',
    'build',
    'classes_of',
    'fit',
    'head_config',
    'not_finite',
    'read_checkpoint',
    'translate',
    'translate_back',
]
