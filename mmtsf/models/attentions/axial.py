"""Axial attention (T+W+H)."""

from mmtsf.registry import MODELS

from ..layers import Grouping
from .scheme import AttentionScheme


@MODELS.register_module()
class AxialAttention(AttentionScheme):
    """A patch sees the same place in all frames, then its row, then its column (section 3.4 of the paper, "Axial").

    No code for it was released. As in divided attention, the classification token stays out of the time step; every
    row and every column gets a copy of it, and the copies are averaged.

    Args:
        embed_dims (int): Width C of the tokens.
        num_heads (int): Number of heads.
        drop_path_rate (float): Probability that a group's residual is dropped in training. Defaults to 0.
    """

    def __init__(self, embed_dims: int, num_heads: int, drop_path_rate: float = 0.0) -> None:
        steps = {
            'time': Grouping(groups='h w', members='t', with_cls=False),
            'width': Grouping(groups='t h', members='w'),
            'height': Grouping(groups='t w', members='h'),
        }
        super().__init__(steps, 'height', embed_dims, num_heads, drop_path_rate)
