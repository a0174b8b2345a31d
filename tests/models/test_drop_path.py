"""Stochastic depth: which residuals are dropped together, how often, and that the mean stays."""

import pytest
import torch
from helpers import assert_close, randomise, tiny_backbone
from torch import Tensor, nn

from mmtsf.models.layers import MLP, DropPath, EncoderBlock, Grid
from mmtsf.registry import MODELS

GRID = Grid(3, 4, 2)


@pytest.mark.parametrize(('num_layers', 'expected'), [(1, [0.0]), (2, [0.0, 0.1]), (5, [0.0, 0.025, 0.05, 0.075, 0.1])])
@pytest.mark.parametrize('attention', ['JointAttention', 'AxialAttention'])
def test_rates_grow_linearly_over_the_blocks(attention: str, num_layers: int, expected: list[float]) -> None:
    for block, rate in zip(tiny_backbone(attention, num_layers=num_layers).blocks, expected, strict=True):
        rates = {module.rate for module in block.modules() if isinstance(module, DropPath)}
        assert list(rates) == pytest.approx([rate])


def test_whole_rows_are_dropped_and_the_mean_stays() -> None:
    rows = DropPath(0.25).train()(torch.ones(10_000, 2, 3)).flatten(1)
    assert_close(rows, rows[:, :1].expand_as(rows), atol=0)
    assert rows.unique().tolist() == pytest.approx([0, 4 / 3])
    assert rows.mean().item() == pytest.approx(1, abs=0.03)  # five standard errors


@pytest.mark.parametrize(('rate', 'training'), [(0.25, False), (0.0, True)])
def test_nothing_is_dropped_in_evaluation_or_at_rate_zero(rate: float, training: bool) -> None:
    x = torch.randn(5, 2, 3)
    assert torch.equal(DropPath(rate).train(training)(x), x)


@pytest.mark.parametrize('rate', [-0.1, 1.0, 2])
def test_a_rate_that_is_no_probability_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=rf'drop path rate is {rate}, expected a number in \[0, 1\)'):
        DropPath(rate)


def assert_dropped_together(residual: Tensor, full: Tensor, axes: tuple[int, ...]) -> None:
    """Patches ``(B, T*H*W, C)`` that differ in the axes of ``(B, T, H, W)`` share their fate, others do not."""
    scales = (residual / full).unflatten(1, GRID).round(decimals=2)
    assert scales.unique().tolist() == [0, 2]
    for axis in range(4):
        assert (scales.amin(axis) == scales.amax(axis)).all() == (axis in axes)
    assert_close(scales.amin(-1), scales.amax(-1))


@pytest.mark.parametrize(
    ('attention', 'step', 'axes'),
    [
        ('JointAttention', 'joint', (1, 2, 3)),
        ('SpaceAttention', 'space', (2, 3)),
        ('DividedAttention', 'time', (1,)),
        ('DividedAttention', 'space', (2, 3)),
        ('AxialAttention', 'width', (3,)),
        ('AxialAttention', 'height', (2,)),
    ],
)
@torch.no_grad()
def test_a_step_drops_a_group_as_one(attention: str, step: str, axes: tuple[int, ...]) -> None:
    """And before the added linear layer, whose bias therefore stays (released code)."""
    model = randomise(MODELS.build(dict(type=attention, embed_dims=8, num_heads=2, drop_path_rate=0.5))).steps[step]
    bias = 0
    if isinstance(model.temporal_fc, nn.Linear):
        nn.init.eye_(model.temporal_fc.weight)
        bias = model.temporal_fc.bias
    tokens = torch.randn(20, 1 + GRID.num_patches, 8)
    full, dropped = (model.train(training)(tokens, GRID)[:, 1:] - bias for training in (False, True))
    assert_dropped_together(dropped, full, axes)


@torch.no_grad()
def test_the_mlp_drops_a_clip_as_one() -> None:
    attention = MODELS.build(dict(type='JointAttention', embed_dims=8, num_heads=2))
    block = randomise(EncoderBlock(attention, MLP(8), 8, drop_path_rate=0.5))
    tokens = torch.randn(20, 1 + GRID.num_patches, 8)
    full, dropped = (
        (block.train(training)(tokens, GRID) - attention(tokens, GRID))[:, 1:] for training in (False, True)
    )
    assert_dropped_together(dropped, full, axes=(1, 2, 3))
