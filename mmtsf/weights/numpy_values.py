"""Rebuild NumPy's numbers, and MMEngine's log histories made of them, from what a pickle tells of them."""

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
    """What ``numpy.dtype`` is told; its byte order is told afterwards."""

    kind: Any
    order: Any = '<'

    def build(self, state: Any) -> None:
        self.order = state[1]

    def numbers(self, content: Any) -> np.ndarray:
        """Numbers of this type, one-dimensional.

        Raises:
            ValueError: If they are none.
        """
        if self.kind not in KINDS or self.order not in ('<', '>', '|', '=') or type(content) not in (bytes, bytearray):
            raise ValueError
        return np.frombuffer(content, f'{self.order}{self.kind}')


@dataclass
class Array:
    """A one-dimensional array of numbers."""

    content: Any = None
    dtype: Any = None

    def build(self, state: Any) -> None:
        _, _, self.dtype, _, self.content = state

    def values(self) -> list:
        return self.dtype.numbers(self.content).tolist()


@dataclass
class History:
    """A ``HistoryBuffer``, not made yet."""

    state: Any = None

    def build(self, state: Any) -> None:
        self.state = state

    def made(self) -> HistoryBuffer | None:
        """The buffer; None if its state is not one that a buffer has."""
        try:
            length = self.state['max_length']
            values, counts = (self.state[name].values() for name in ('_log_history', '_count_history'))
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
        fits = type(length) is int and len(values) == len(counts) <= length <= MOST_HISTORY
        return HistoryBuffer(values, counts, length) if fits else None


def scalar(dtype: Any, content: Any) -> Any:
    """A number of NumPy's as Python's; None if it is none."""
    try:
        (number,) = dtype.numbers(content).tolist()
    except (AttributeError, TypeError, ValueError):
        return None
    return number
