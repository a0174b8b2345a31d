"""Cores are counted as this process may use them."""

import os

import pytest

from mmtsf.utils import cores
from mmtsf.utils.cores import num_cores


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(cores, 'cpu_limits', lambda: iter(()))
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert num_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert num_cores() == len(allowed)


@pytest.mark.parametrize(('limits', 'expected'), [([], 8), ([2.5, 16], 3), ([4.0], 4), ([0.2], 1), ([64.0], 8)])
def test_a_limit_of_processor_time_counts_as_so_many_cores(limits, expected, monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(cores, 'cpu_limits', lambda: iter(limits))
    assert num_cores() == expected
