"""Check that weights are finite real numbers."""

from collections.abc import Mapping

import torch
from torch import Tensor

#: The largest weight: of float32, in which models compute
LARGEST = torch.finfo(torch.float32).max


def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Name the tensors that hold NaN, infinity, or a number too large for float32, in one pass without a copy."""
    return [key for key, value in state.items() if value.numel() and not _is_finite(value)]


def _is_finite(value: Tensor) -> bool:
    if value.is_complex():
        value = torch.view_as_real(value)
    if not value.is_floating_point():
        return True
    if value.element_size() < 2:
        value = value.float()  # float8 has no minimum of its own
    low, high = torch.aminmax(value.detach())
    return low.item() >= -LARGEST and high.item() <= LARGEST  # as Python numbers: in float16 LARGEST is infinite
