"""Sparse local-global attention (L+G)."""

from mmtsf.models.layers import Grouping
from mmtsf.registry import MODELS

from .scheme import AttentionScheme


@MODELS.register_module()
class LocalGlobalAttention(AttentionScheme):
    """A patch sees its quarter of all frames, then every second patch along time, height and width.

    No code for it was released. This is our reading of section 3.4 and Figure 2 of the paper: the local step takes
    "the neighboring F x H/2 x W/2 patches" as the quarter of the frame that holds the patch; the global step, with "a
    stride of 2 patches along the temporal dimension and also the two spatial dimensions", as the patches at the same
    phase of that stride, as in Sparse Transformers (Child et al., arXiv 1904.10509). The number of frames and of
    patches along height and width must be even.

    Another reading of "neighboring" is a window of that size with the patch in its middle. It is not offered: windows
    of different patches overlap, so that they are no groups, and what is left is joint attention under a mask, with
    joint attention's cost, or 49 F keys and values copied for each patch.

    Args: see :class:`AttentionScheme`.
    """

    groupings = {
        'local': Grouping(groups='nh nw', members='t h w', patches='t nh h nw w'),
        'strided': Grouping(groups='nt nh nw', members='t h w', patches='t nt h nh w nw'),
    }
    image_step = 'strided'  # "global" in the paper, a keyword of Python that no exported module may be called
