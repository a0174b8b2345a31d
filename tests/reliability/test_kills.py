"""Runs that are killed, and end with the weights of a run that was not."""

import pytest
from kills import compare, table


@pytest.mark.long
def test_runs_that_are_killed_at_random_moments_end_bit_for_bit_like_one_that_was_not(motion, tmp_path):
    figures = compare(3, tmp_path, motion)
    print(table(figures))
    assert figures['hits'].total() == 3
    assert not figures['lost']
    assert not figures['differing']
