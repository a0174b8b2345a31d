"""Log numbers that are on the device, and fetch them when somebody reads the log."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from torch import Tensor

#: Numbers that may wait: each takes some memory of the device
MOST = 1000


def log_later(hub: MessageHub, name: str, value: Any, unless: Tensor | None = None) -> None:
    """Log a number as :meth:`mmengine.logging.MessageHub.update_scalar` does, which would wait for the device.

    Whoever reads any history of such numbers, as the log does at its interval, gets all that is waiting at once.

    Args:
        hub (MessageHub): Keeps the histories.
        name (str): Of the history.
        value (Tensor | float): The number; one that is no tensor is logged at once.
        unless (Tensor, optional): If 1, the number is left out. Defaults to None.
    """
    if not (isinstance(value, Tensor) and value.is_floating_point()):
        hub.update_scalar(name, value)
        return
    history = hub.log_scalars.get(name)
    if isinstance(history, LaterHistory):
        history.add_later(value.detach(), unless)
    elif unless is None or not unless:  # the first number
        hub.update_scalar(name, value.detach())
        (values, counts), length = hub.log_scalars[name].data, hub.log_scalars[name].max_length
        waiting = next((x.waiting for x in hub.log_scalars.values() if isinstance(x, LaterHistory)), [])
        hub.log_scalars[name] = LaterHistory(waiting, values, counts, length)


class LaterHistory(HistoryBuffer):
    """A history whose last numbers may still be on the device.

    Args:
        waiting (list): Numbers that are not fetched yet, with their histories, which share the list, and with 1 for
            those to be left out.
        *args: Arguments of :class:`mmengine.logging.HistoryBuffer`.
    """

    def __init__(self, waiting: list[tuple['LaterHistory', Tensor, Tensor]], *args: Any) -> None:
        self.waiting = waiting
        super().__init__(*args)

    def add_later(self, value: Tensor, unless: Tensor | None = None) -> None:
        """Add a number of a tensor, which is fetched when a history is read, or many are waiting."""
        self.waiting.append((self, value, torch.zeros_like(value) if unless is None else unless))
        if len(self.waiting) >= MOST:
            self._fetch()

    def __reduce__(self) -> tuple:
        """Copies and files have a plain history."""
        return HistoryBuffer, (*self.data, self.max_length)

    @property
    def _log_history(self) -> np.ndarray:
        self._fetch()
        return self._values

    @_log_history.setter
    def _log_history(self, values: np.ndarray) -> None:
        self._values = values

    @property
    def _count_history(self) -> np.ndarray:
        self._fetch()
        return self._counts

    @_count_history.setter
    def _count_history(self, counts: np.ndarray) -> None:
        self._counts = counts

    def _fetch(self) -> None:
        waiting = self.waiting[:]
        self.waiting.clear()
        numbers = fetch([x for _, value, unless in waiting for x in (value, unless)])
        for (history, _, _), value, left_out in zip(waiting, numbers[::2], numbers[1::2]):
            if not left_out:
                history.update(value)


def fetch(values: Iterable[Tensor]) -> list[float]:
    """Numbers of tensors of one number each, in one transfer from the device."""
    values = [value.reshape(()).double() for value in values]
    return torch.stack([value.to(values[0].device) for value in values]).tolist() if values else []
