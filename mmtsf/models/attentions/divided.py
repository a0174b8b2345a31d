"""Divided space-time attention (T+S), the paper's TimeSformer."""

from mmtsf.models.layers import Grouping
from mmtsf.registry import MODELS

from .scheme import AttentionScheme


@MODELS.register_module()
class DividedAttention(AttentionScheme):
    """A patch sees the same place in all frames, then all places of its own frame (Equation 11 of the paper).

    The classification token stays out of the time step, as in the released code; with ``cls_token='keys'`` it is among
    the keys there, as in Equation 11. Every frame gets a copy of it in the space step, and the copies are averaged.

    In section 4.7 of the paper ``order='space_time'`` costs 0.5 % accuracy and ``'parallel'`` 0.4 %; as time changes
    nothing of the classification token, their last time step is of no use to it.

    Args: see :class:`AttentionScheme`.
    """

    groupings = {
        'time': Grouping(groups='h w', members='t', with_cls=False),
        'space': Grouping(groups='t', members='h w'),
    }
    image_step = 'space'
