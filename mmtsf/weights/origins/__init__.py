"""List the origins of checkpoints: one table of weight names each."""

from .deit3 import DEIT3
from .huggingface import HUGGING_FACE
from .jax import JAX
from .lucidrains import LUCIDRAINS
from .mae import MAE
from .mmaction import MMACTION
from .mmpretrain import MMPRETRAIN
from .origin import POSITIONS, Origin, State
from .released import RELEASED
from .timm import TIMM
from .videomae import VIDEOMAE

#: All foreign origins by name.
ORIGINS = {
    origin.name: origin
    for origin in (RELEASED, HUGGING_FACE, MMACTION, TIMM, JAX, MMPRETRAIN, LUCIDRAINS, MAE, DEIT3, VIDEOMAE)
}

__all__ = ['ORIGINS', 'POSITIONS', 'Origin', 'State']
