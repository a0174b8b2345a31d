"""List the origins of checkpoints: one table of weight names each."""

from .huggingface import HUGGING_FACE
from .jax import JAX
from .lucidrains import LUCIDRAINS
from .mmaction import MMACTION
from .mmpretrain import MMPRETRAIN
from .origin import POSITIONS, Origin, State
from .released import RELEASED
from .timm import TIMM

#: All foreign origins by name.
ORIGINS = {origin.name: origin for origin in (RELEASED, HUGGING_FACE, MMACTION, TIMM, JAX, MMPRETRAIN, LUCIDRAINS)}

__all__ = ['ORIGINS', 'POSITIONS', 'Origin', 'State']
