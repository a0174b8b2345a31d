"""Divided space-time attention (T+S), the paper's TimeSformer."""

from mmtsf.registry import MODELS

from ..layers import Grouping
from .scheme import AttentionScheme

ORDERS = ('time_space', 'space_time', 'parallel')


@MODELS.register_module()
class DividedAttention(AttentionScheme):
    """A patch sees the same place in all frames, then all places of its own frame (Equation 11 of the paper).

    The classification token stays out of the time step, unlike Equation 11 and like the released code; every frame
    gets a copy of it in the space step, and the copies are averaged.

    Args:
        embed_dims (int): Width C of the tokens.
        num_heads (int): Number of heads.
        drop_path_rate (float): Probability that a group's residual is dropped in training. Defaults to 0.
        order (str): ``'time_space'``, ``'space_time'`` or ``'parallel'`` (section 4.7 of the paper: the latter two
            cost 0.5 % and 0.4 % accuracy; as the classification token stays out of time, their last time step is of
            no use to it). Defaults to ``'time_space'``.
    """

    def __init__(self, embed_dims: int, num_heads: int, drop_path_rate: float = 0.0, order: str = 'time_space') -> None:
        if order not in ORDERS:
            raise ValueError(f'order is {order!r}, expected one of {ORDERS}')
        time = Grouping(groups='h w', members='t', with_cls=False)
        space = Grouping(groups='t', members='h w')
        steps = {'space': space, 'time': time} if order == 'space_time' else {'time': time, 'space': space}
        super().__init__(steps, 'space', embed_dims, num_heads, drop_path_rate, parallel=order == 'parallel')
