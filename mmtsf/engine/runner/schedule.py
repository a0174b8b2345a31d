"""Advance a schedule to the iteration where a resumed run goes on."""

import warnings
from collections.abc import Sequence
from typing import Any

from .check_optimizer import START_ANEW


def run_through(schedulers: Sequence[Any], epochs: int, iterations: int, epoch_length: int) -> None:
    """Bring newly built schedules to where they are after so many epochs and iterations.

    Raises:
        ValueError: If one follows a metric, so that its course is not known.
    """
    for scheduler in schedulers:
        if getattr(scheduler, 'need_val_args', False):
            raise ValueError(
                f'cannot resume: {type(scheduler).__name__} follows a metric, whose values of before are not kept; '
                f'take another schedule, or {START_ANEW}'
            )
    by_epoch, by_iteration = ([s for s in schedulers if s.by_epoch is kind] for kind in (True, False))
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='Detected call of `scheduler.step')
        for epoch in range(epochs + 1):
            steps = epoch_length if epoch < epochs else iterations - epochs * epoch_length
            for _ in range(steps if by_iteration else 0):
                for scheduler in by_iteration:
                    scheduler.step()
            for scheduler in by_epoch if epoch < epochs else ():
                scheduler.step()
