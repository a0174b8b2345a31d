"""Which tokens every attention step lets a token see, by the step's Jacobian."""

import pytest
import torch
from helpers import WITHOUT_CLS, randomise, who_sees_whom
from torch import Tensor

from mmtsf.models.attentions.scheme import CLS_TOKENS
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


@pytest.mark.parametrize('lead', [0, 3])
@pytest.mark.parametrize('cls_token', ['copies', 'all'])
@pytest.mark.parametrize(('attention', 'step'), EACH_STEP)
def test_leading_tokens_are_in_every_group_that_the_classification_token_is_in(
    attention, step, cls_token, lead
) -> None:
    grid = Grid(2, 2, 4, lead)
    scheme = randomise(MODELS.build(dict(type=attention, embed_dims=8, num_heads=2, cls_token=cls_token))).double()
    tokens = torch.randn(1, lead + grid.num_patches, 8, dtype=torch.double)
    expected = torch.full((lead + grid.num_patches,) * 2, cls_token == 'all' or step not in WITHOUT_CLS)
    expected[lead:, lead:] = who_sees_whom(step, grid)
    assert torch.equal(dependence(lambda x: scheme.steps[step](x, grid), tokens), expected)


@pytest.mark.parametrize(('attention', 'step'), EACH_STEP)
def test_one_classification_token_sees_and_is_seen_by_all(attention: str, step: str) -> None:
    grid = Grid(4, 2, 6)
    scheme = randomise(MODELS.build(dict(type=attention, embed_dims=8, num_heads=2, cls_token='all'))).double()
    tokens = torch.randn(1, 1 + grid.num_patches, 8, dtype=torch.double)
    expected = torch.ones(1 + grid.num_patches, 1 + grid.num_patches, dtype=torch.bool)
    expected[1:, 1:] = who_sees_whom(step, grid)
    assert torch.equal(dependence(lambda x: scheme.steps[step](x, grid), tokens), expected)


@pytest.mark.parametrize('grid', GRIDS, ids=lambda grid: 'x'.join(map(str, grid)))
@pytest.mark.parametrize(('attention', 'step'), [(one, step) for one, step in EACH_STEP if 'time' in STEPS[one]])
def test_equation_11_has_the_classification_token_among_the_keys_of_time(attention: str, step: str, grid: Grid) -> None:
    """And leaves the token itself as it is; all other steps are the same."""
    scheme = randomise(MODELS.build(dict(type=attention, embed_dims=8, num_heads=2, cls_token='keys'))).double()
    tokens = torch.randn(1, 1 + grid.num_patches, 8, dtype=torch.double)
    expected = torch.ones(1 + grid.num_patches, 1 + grid.num_patches, dtype=torch.bool)
    expected[0] = step not in WITHOUT_CLS
    expected[1:, 1:] = who_sees_whom(step, grid)
    assert torch.equal(dependence(lambda x: scheme.steps[step](x, grid), tokens), expected)


def test_equation_11_has_the_papers_number_of_comparisons() -> None:
    """N + F + 2 of a patch, in all steps of a block (section 3.4), against N + F + 1 of the released code."""
    grid, comparisons = Grid(4, 2, 6), {}
    for cls_token in ('copies', 'keys'):
        scheme = MODELS.build(dict(type='DividedAttention', embed_dims=8, num_heads=2, cls_token=cls_token))
        steps = [
            step.queries_keys_values(torch.randn(1, 1 + grid.num_patches, 8), grid) for step in scheme.steps.values()
        ]
        comparisons[cls_token] = sum(keys.shape[2] for _, keys, _ in steps)
    assert comparisons == dict(copies=12 + 4 + 1, keys=12 + 4 + 2)


@pytest.mark.parametrize(
    ('attention', 'cls_token'),
    [(one, word) for one in STEPS for word in CLS_TOKENS if word != 'keys' or 'time' in STEPS[one]],
)
def test_steps_side_by_side_see_what_each_sees_and_one_after_the_other_what_they_pass_on(
    attention: str, cls_token: str
) -> None:
    grid, options = Grid(4, 2, 6), dict(embed_dims=8, num_heads=2, cls_token=cls_token)
    tokens = torch.randn(1, 1 + grid.num_patches, 8, dtype=torch.double)
    for order in (None, 'parallel', '_'.join(reversed(STEPS[attention]))):
        scheme = randomise(MODELS.build(dict(type=attention, order=order, **options))).double()
        together = torch.eye(1 + grid.num_patches, dtype=torch.bool)  # of the residual connection
        for name in scheme.steps:
            sees = torch.ones(1 + grid.num_patches, 1 + grid.num_patches, dtype=torch.bool)
            sees[1:, 1:] = who_sees_whom(name, grid)
            if name in WITHOUT_CLS and cls_token != 'all':
                sees[0], sees[1:, 0] = False, cls_token == 'keys'
            sees |= torch.eye(len(sees), dtype=torch.bool)
            together = together | sees if order == 'parallel' else (sees.double() @ together.double()) > 0
        assert torch.equal(dependence(lambda x, scheme=scheme: scheme(x, grid), tokens), together)


@pytest.mark.parametrize(
    ('attention', 'changes', 'words'),
    [
        ('SpaceAttention', {}, 'takes part in every step of SpaceAttention'),
        ('LocalGlobalAttention', {}, 'takes part in every step of LocalGlobalAttention'),
        ('DividedAttention', dict(rotary=True), "goes with neither rotary positions nor token shift .* use 'all'"),
        ('AxialAttention', dict(token_shift=True), "goes with neither rotary positions nor token shift .* use 'all'"),
    ],
)
def test_the_token_as_a_key_is_refused_where_it_has_no_meaning(attention: str, changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MODELS.build(dict(type=attention, embed_dims=8, num_heads=2, cls_token='keys', **changes))


@pytest.mark.parametrize('attention', STEPS)
def test_a_scheme_takes_its_steps_in_the_papers_order(attention: str) -> None:
    assert list(MODELS.build(dict(type=attention, embed_dims=8, num_heads=2)).steps) == STEPS[attention]
