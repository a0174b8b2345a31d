"""Rebuild NumPy scalars, and MMEngine's log histories of them, from a pickle's plain values."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.logging import HistoryBuffer

#: Kinds of numbers, as NumPy's dtypes name them
KINDS = ('b1', 'f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8')
#: Most values of a history; MMEngine keeps 1,000,000
MOST_HISTORY = 10_000_000


@dataclass
class DType:
    """Describe a ``numpy.dtype``; its byte order is set afterwards."""

    kind: Any
    order: Any = '<'

    def build(self, state: Any) -> None:
        self.order = state[1]

    def numbers(self, content: Any) -> np.ndarray:
        """Read one-dimensional numbers of this type.

        Raises:
            ValueError: If they are none.
        """
        if self.kind not in KINDS or self.order not in ('<', '>', '|', '=') or type(content) not in (bytes, bytearray):
            raise ValueError
        return np.frombuffer(content, f'{self.order}{self.kind}')


@dataclass
class Array:
    """Describe a one-dimensional array of numbers."""

    content: Any = None
    dtype: Any = None

    def build(self, state: Any) -> None:
        _, _, self.dtype, _, self.content = state

    def values(self) -> list:
        return self.dtype.numbers(self.content).tolist()


@dataclass
class History:
    """Describe a ``HistoryBuffer`` that is not made yet."""

    state: Any = None

    def build(self, state: Any) -> None:
        self.state = state

    def made(self) -> HistoryBuffer | None:
        """Make the buffer; None if its state is invalid."""
        try:
            length = self.state['max_length']
            values, counts = (self.state[name].values() for name in ('_log_history', '_count_history'))
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
        fits = type(length) is int and len(values) == len(counts) <= length <= MOST_HISTORY
        return HistoryBuffer(values, counts, length) if fits else None


def scalar(dtype: Any, content: Any) -> Any:
    """Convert a NumPy scalar to a Python number; None if it is not a number."""
    try:
        (number,) = dtype.numbers(content).tolist()
    except (AttributeError, TypeError, ValueError):
        return None
    return number
