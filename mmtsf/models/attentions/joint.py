"""Joint space-time attention (ST)."""

from mmtsf.registry import MODELS

from ..layers import Grouping
from .scheme import AttentionScheme


@MODELS.register_module()
class JointAttention(AttentionScheme):
    """A patch sees every patch of the clip (Equation 5 of the paper).

    Args: see :class:`AttentionScheme`.
    """

    groupings = {'joint': Grouping(groups='', members='t h w')}
    image_step = 'joint'
