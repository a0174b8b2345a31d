"""What is drawn at random depends on the seed, the epoch and the iteration alone."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmtsf.engine.hooks import ReproducibilityHook


def drawn() -> list:
    return [int(torch.randint(10**6, ())), int(np.random.randint(10**6)), random.randrange(10**6)]


@pytest.mark.parametrize('moment', ['before_train_epoch', 'before_train_iter'])
def test_what_was_drawn_before_does_not_matter(moment):
    def draw_at(number: int, seed: int = 3) -> list:
        more = dict(batch_idx=0) if moment.endswith('iter') else {}
        getattr(ReproducibilityHook(), moment)(SimpleNamespace(seed=seed, epoch=number, iter=number), **more)
        return drawn()

    first = draw_at(5)
    drawn()
    assert draw_at(5) == first
    for other in (draw_at(6), draw_at(5, seed=4)):
        assert all(mine != theirs for mine, theirs in zip(other, first))
