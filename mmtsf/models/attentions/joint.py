"""Joint space-time attention (ST)."""

from mmtsf.models.layers import Grouping
from mmtsf.registry import MODELS

from .scheme import AttentionScheme


@MODELS.register_module()
class JointAttention(AttentionScheme):
    """A patch sees every patch of the clip (Equation 5 of the paper).

    Args: see :class:`AttentionScheme`.
    """

    groupings = {'joint': Grouping(groups='', members='t h w')}
    image_step = 'joint'
