"""List the origins of checkpoints: one table of weight names each."""

from .clip import CLIP
from .deit3 import DEIT3
from .dinov2 import DINOV2
from .dinov3 import DINOV3
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

#: Of video models, and of image models
VIDEO = (RELEASED, HUGGING_FACE, MMACTION, LUCIDRAINS, VIDEOMAE)
IMAGE = (TIMM, JAX, MMPRETRAIN, MAE, DEIT3, CLIP, DINOV2, DINOV3)
#: All foreign origins by name
ORIGINS = {origin.name: origin for origin in (*VIDEO, *IMAGE)}

__all__ = ['ORIGINS', 'POSITIONS', 'Origin', 'State']
