"""Attend within tubes of two frames."""

from mmtsf.models.attentions import AttentionScheme
from mmtsf.models.layers import Grouping
from mmtsf.registry import MODELS


@MODELS.register_module()
class TubeAttention(AttentionScheme):
    """A patch attends to the same place in all frames, then to its own and the neighbouring frame."""

    groupings = {
        'time': Grouping(groups='h w', members='t', with_cls=False),
        'tube': Grouping(groups='t', members='nt h w', patches='t nt h w'),
    }
    image_step = 'tube'
