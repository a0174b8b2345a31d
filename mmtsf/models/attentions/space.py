"""Space attention (S)."""

from mmtsf.models.layers import Grouping
from mmtsf.registry import MODELS

from .scheme import AttentionScheme


@MODELS.register_module()
class SpaceAttention(AttentionScheme):
    """A patch sees the patches of its own frame (section 3.4 of the paper, "Space").

    Frames never meet before the end: each has its own classification token, and the backbone averages the frames
    before the last norm (released code).

    Args: see :class:`AttentionScheme`.
    """

    groupings = {'space': Grouping(groups='t', members='h w')}
    image_step = 'space'
    mixes_time = False
