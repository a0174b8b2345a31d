"""Axial attention (T+W+H)."""

from mmtsf.models.layers import Grouping
from mmtsf.registry import MODELS

from .scheme import AttentionScheme


@MODELS.register_module()
class AxialAttention(AttentionScheme):
    """A patch sees the same place in all frames, then its row, then its column (section 3.4 of the paper, "Axial").

    No code for it was released. As in divided attention, the classification token stays out of the time step, or is
    among the keys there (``cls_token='keys'``); every row and every column gets a copy of it, and the copies are
    averaged.

    Args: see :class:`AttentionScheme`.
    """

    groupings = {
        'time': Grouping(groups='h w', members='t', with_cls=False),
        'width': Grouping(groups='t h', members='w'),
        'height': Grouping(groups='t w', members='h'),
    }
    image_step = 'height'
