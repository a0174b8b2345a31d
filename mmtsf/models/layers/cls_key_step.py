"""Time attention with the classification token among the keys (Equation 11 of the paper)."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from mmtsf.models.kernels.through import through

from .attention_step import AttentionStep
from .tokens import Grid


class ClsKeyStep(AttentionStep):
    """An attention step in which every patch sees the classification token, which itself sees nothing.

    The released code leaves the token out of time; in Equation 11 of the paper it is among the keys and values of
    every patch. What the token itself does there the equation does not say: here this step leaves it as it is.

    Args:
        kwargs: See :class:`AttentionStep`; of a grouping without the classification token.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.key_grouping = replace(self.grouping, with_cls=True)

    def queries_keys_values(self, tokens: Tensor, grid: Grid) -> Any:
        """As :meth:`AttentionStep.queries_keys_values`; queries are of the patches alone."""
        qkv = through(tokens, self.norm, self.qkv)  # first, so that the token's are computed once for all groups
        q, k, v = self.split_heads(self.key_grouping.fold(qkv, grid))
        return q[:, :, grid.lead :], k, v
