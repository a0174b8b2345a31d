"""Space attention (S)."""

from mmtsf.registry import MODELS

from ..layers import Grouping
from .scheme import AttentionScheme


@MODELS.register_module()
class SpaceAttention(AttentionScheme):
    """A patch sees the patches of its own frame (section 3.4 of the paper, "Space").

    Frames never meet before the end: each has its own classification token, and the backbone averages the frames
    before the last norm (released code).

    Args:
        embed_dims (int): Width C of the tokens.
        num_heads (int): Number of heads.
        drop_path_rate (float): Probability that a frame's residual is dropped in training. Defaults to 0.
    """

    mixes_time = False

    def __init__(self, embed_dims: int, num_heads: int, drop_path_rate: float = 0.0) -> None:
        space = Grouping(groups='t', members='h w')
        super().__init__({'space': space}, 'space', embed_dims, num_heads, drop_path_rate)
