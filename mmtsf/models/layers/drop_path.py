"""Stochastic depth (Huang et al., arXiv 1603.09382)."""

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Zero whole rows of a batch of residuals in training, and scale the others up to keep the mean.

    Args:
        rate (float): Probability that a row is dropped, in [0, 1).
    """

    scales_rows = True  # for kernels.through
    #: Probability that a row is kept, as a tensor, so that compiled code is the same whatever the rate
    kept: Tensor | None = None

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    @property
    def rate(self) -> float:
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f'drop path rate is {rate}, expected a number in [0, 1)')
        self._rate = rate
        if self.kept is not None:
            self.share_code(self.kept.device)

    def share_code(self, device: torch.device) -> None:
        """Keep the rate as a tensor on the device, so that blocks of different rates share compiled code."""
        with torch.inference_mode(False):
            self.kept = torch.tensor(1 - self.rate, device=device)

    def forward(self, x: Tensor) -> Tensor:
        """Drop rows of ``x`` ``(N, L, C)``."""
        if not self.training:
            return x
        if self.kept is not None and torch.compiler.is_compiling():
            kept = self.kept.to(x.device)
            return x * (torch.rand(x.shape[0], 1, 1, device=x.device) < kept) / kept
        if self.rate == 0:
            return x
        keep = x.new_empty(x.shape[0], 1, 1).bernoulli_(1 - self.rate)
        return x * keep / (1 - self.rate)

    def extra_repr(self) -> str:
        return f'rate={self.rate}'
