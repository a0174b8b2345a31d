"""Joint space-time attention (ST)."""

from mmtsf.registry import MODELS

from ..layers import Grouping
from .scheme import AttentionScheme


@MODELS.register_module()
class JointAttention(AttentionScheme):
    """A patch sees every patch of the clip (Equation 5 of the paper).

    Args:
        embed_dims (int): Width C of the tokens.
        num_heads (int): Number of heads.
        drop_path_rate (float): Probability that a clip's residual is dropped in training. Defaults to 0.
    """

    def __init__(self, embed_dims: int, num_heads: int, drop_path_rate: float = 0.0) -> None:
        joint = Grouping(groups='', members='t h w')
        super().__init__({'joint': joint}, 'joint', embed_dims, num_heads, drop_path_rate)
