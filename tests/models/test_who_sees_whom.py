"""Which tokens every attention step lets a token see, by the step's Jacobian."""

import pytest
import torch
from helpers import WITHOUT_CLS, randomise, who_sees_whom
from torch import Tensor

from mmtsf.models.layers import Grid
from mmtsf.registry import MODELS

STEPS = {
    'SpaceAttention': ['space'],
    'JointAttention': ['joint'],
    'DividedAttention': ['time', 'space'],
    'LocalGlobalAttention': ['local', 'strided'],
    'AxialAttention': ['time', 'width', 'height'],
}
EACH_STEP = [(attention, step) for attention, steps in STEPS.items() for step in steps]
GRIDS = [Grid(4, 2, 6), Grid(2, 4, 4), Grid(2, 6, 2)]


def dependence(function, tokens: Tensor) -> Tensor:
    """``(L, L)``, true where an output token depends on an input token, for ``(1, L, C)`` to the same shape."""
    jacobian = torch.autograd.functional.jacobian(lambda x: function(x)[0].sum(-1), tokens)  # (L, 1, L, C)
    return jacobian.abs().sum(-1)[:, 0] > 0


@pytest.mark.parametrize('grid', GRIDS, ids=lambda grid: 'x'.join(map(str, grid)))
@pytest.mark.parametrize(('attention', 'step'), EACH_STEP)
def test_a_token_sees_its_group_and_nothing_else(attention: str, step: str, grid: Grid) -> None:
    scheme = randomise(MODELS.build(dict(type=attention, embed_dims=8, num_heads=2))).double()
    tokens = torch.randn(1, 1 + grid.num_patches, 8, dtype=torch.double)
    expected = torch.full((1 + grid.num_patches,) * 2, step not in WITHOUT_CLS)  # seen by all and sees all, or neither
    expected[1:, 1:] = who_sees_whom(step, grid)
    assert torch.equal(dependence(lambda x: scheme.steps[step](x, grid), tokens), expected)


@pytest.mark.parametrize(('attention', 'step'), EACH_STEP)
def test_one_classification_token_sees_and_is_seen_by_all(attention: str, step: str) -> None:
    grid = Grid(4, 2, 6)
    scheme = randomise(MODELS.build(dict(type=attention, embed_dims=8, num_heads=2, cls_token='all'))).double()
    tokens = torch.randn(1, 1 + grid.num_patches, 8, dtype=torch.double)
    expected = torch.ones(1 + grid.num_patches, 1 + grid.num_patches, dtype=torch.bool)
    expected[1:, 1:] = who_sees_whom(step, grid)
    assert torch.equal(dependence(lambda x: scheme.steps[step](x, grid), tokens), expected)


@pytest.mark.parametrize('attention', STEPS)
def test_a_scheme_takes_its_steps_in_the_papers_order(attention: str) -> None:
    assert list(MODELS.build(dict(type=attention, embed_dims=8, num_heads=2)).steps) == STEPS[attention]
