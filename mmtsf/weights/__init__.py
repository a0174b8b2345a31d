"""Read, translate, load and write checkpoints of any origin."""

from .build import backbone_config, build, head_config
from .classes import classes_of
from .finite import not_finite
from .geometry import Geometry
from .load import load_weights
from .preprocessing import Preprocessing
from .pretrained import Pretrained
from .read import read_checkpoint
from .translate import Weights, translate, translate_back

__all__ = [
    'Geometry',
    'Preprocessing',
    'Pretrained',
    'Weights',
    'backbone_config',
    'build',
    'classes_of',
    'load_weights',
    'head_config',
    'not_finite',
    'read_checkpoint',
    'translate',
    'translate_back',
]
