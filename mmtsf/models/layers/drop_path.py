"""Stochastic depth (Huang et al., arXiv 1603.09382)."""

from torch import Tensor, nn


class DropPath(nn.Module):
    """Zero whole rows of a batch of residuals in training, and scale the others up to keep the mean.

    Args:
        rate (float): Probability that a row is dropped, in [0, 1).
    """

    scales_rows = True  # for kernels.through

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f'drop path rate is {rate}, expected a number in [0, 1)')
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Drop rows of ``x`` ``(N, L, C)``."""
        if not self.training or self.rate == 0:
            return x
        keep = x.new_empty(x.shape[0], 1, 1).bernoulli_(1 - self.rate)
        return x * keep / (1 - self.rate)

    def extra_repr(self) -> str:
        return f'rate={self.rate}'
