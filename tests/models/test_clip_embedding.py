"""Patches, classification token and tables, and tables of another size than the clip's."""

import math

import mmengine.runner.checkpoint as mmengine_checkpoint
import pytest
import torch
import torch.nn.functional as F
from helpers import assert_close, randomise, tiny_backbone, tiny_clips
from torch import Tensor, nn

from mmtsf.models.layers import ClipEmbedding, Grid

POSITIONS = ('none', 'space', 'space_time')


def embedding(grid: Grid, patch_size: int = 16, position: str = 'space_time') -> ClipEmbedding:
    return randomise(ClipEmbedding(grid, patch_size, embed_dims=48, position=position, position_init='image'))


def interpolated_space(table: Tensor, height: int, width: int) -> Tensor:
    """``(1, h, w, C)`` to ``(1, height, width, C)``."""
    return F.interpolate(table.permute(0, 3, 1, 2), (height, width), mode='bicubic').permute(0, 2, 3, 1)


def interpolated_time(table: Tensor, num_frames: int) -> Tensor:
    """``(1, t, C)`` to ``(1, num_frames, C)``."""
    return F.interpolate(table.mT, num_frames, mode='linear').mT


@pytest.mark.parametrize('position', POSITIONS)
@pytest.mark.parametrize('patch_size', [8, 16, 32])
def test_a_token_is_the_linear_image_of_its_patch_and_the_entries_of_its_place(patch_size: int, position: str) -> None:
    model = embedding(Grid(3, 2, 4), patch_size, position)
    clip = tiny_clips(num_frames=3, height=2 * patch_size, width=4 * patch_size)
    tokens, grid = model(clip)
    assert grid == Grid(3, 2, 4)
    cls, patches = tokens[:, :1], tokens[:, 1:].unflatten(1, grid.sizes)
    assert_close(cls, model.cls if position == 'none' else model.cls + model.cls_position)
    for t, h, w in [(0, 0, 0), (1, 1, 0), (2, 0, 3)]:
        pixels = clip[0, :, t, h * patch_size : (h + 1) * patch_size, w * patch_size : (w + 1) * patch_size]
        expected = model.patch.weight.flatten(1) @ pixels.flatten() + model.patch.bias
        if position != 'none':
            expected = expected + model.space[0, h, w]
        if position == 'space_time':
            expected = expected + model.time[0, t]
        assert_close(patches[0, t, h, w], expected, atol=1e-4)  # a sum of up to 3 * 32 * 32 products


@pytest.mark.parametrize(
    ('position', 'knows_space', 'knows_time'),
    [
        ('none', False, False),
        ('space', True, False),
        ('space_time', True, True),
    ],
)
@pytest.mark.parametrize('attention', ['JointAttention', 'DividedAttention'])
@torch.no_grad()
def test_a_model_tells_places_or_frames_apart_by_its_tables_only(
    attention: str, position: str, knows_space: bool, knows_time: bool
) -> None:
    """Otherwise attention is blind to order."""
    model = tiny_backbone(attention, position=position)
    clip = tiny_clips()
    mirrored = clip.unflatten(-1, (4, 16)).flip(-2).flatten(-2)  # columns of patches in reverse
    feature = model(clip)
    assert ((model(mirrored) - feature).abs().max() > 1e-3) == knows_space
    assert ((model(clip.flip(2)) - feature).abs().max() > 1e-3) == knows_time


def test_frames_that_never_meet_have_no_time_table() -> None:
    assert tiny_backbone('SpaceAttention', position='space_time').embedding.time is None


@pytest.mark.parametrize(
    'size', [Grid(16, 7, 6), Grid(8, 7, 6), Grid(16, 4, 4), Grid(5, 4, 2)], ids=lambda grid: 'x'.join(map(str, grid))
)
@pytest.mark.parametrize(
    'load', [nn.Module.load_state_dict, mmengine_checkpoint.load_state_dict], ids=['torch', 'mmengine']
)
@torch.no_grad()
def test_tables_of_another_size_are_interpolated_when_they_are_loaded(load, size: Grid) -> None:
    trained = embedding(Grid(8, 4, 4))
    state = trained.state_dict()
    model = embedding(size)
    load(model, state)
    space, time = trained.space, trained.time
    assert_close(model.space, space if size[1:3] == (4, 4) else interpolated_space(space, *size[1:3]), atol=1e-6)
    assert_close(model.time, time if size.t == 8 else interpolated_time(time, size.t), atol=1e-6)
    for name in ('cls', 'cls_position', 'patch.weight', 'patch.bias'):
        assert torch.equal(model.state_dict()[name], state[name])
    assert state['space'].shape == (1, 4, 4, 48)  # the caller's own are left alone


@torch.no_grad()
def test_a_clip_of_another_size_gets_the_tables_that_loading_would_give_it() -> None:
    trained, resized = embedding(Grid(8, 4, 4)), embedding(Grid(3, 2, 6))
    resized.load_state_dict(trained.state_dict())
    clips = tiny_clips(batch=2, num_frames=3, height=32, width=96)
    assert_close(trained(clips)[0], resized(clips)[0])


def start(how: str, grid: Grid, dims: int) -> ClipEmbedding:
    embedding = ClipEmbedding(grid, 16, dims, 'space_time', how)
    embedding.init_weights()
    return embedding


def test_beside_an_image_model_time_starts_as_zero_and_space_near_it() -> None:
    embedding = start('image', Grid(8, 20, 20), 48)
    assert not embedding.time.any()
    assert (embedding.space.std() - 0.02).abs() < 0.003


def expected_sinusoid(place: int, dims: int) -> list[float]:
    return [(math.cos if i % 2 else math.sin)(place / 10000 ** ((i - i % 2) / dims)) for i in range(dims)]


@pytest.mark.parametrize('dims', [48, 7])
def test_the_time_table_starts_as_the_transformers_sinusoids(dims: int) -> None:
    assert_close(
        start('sinusoid', Grid(8, 2, 2), dims).time[0], torch.tensor([expected_sinusoid(t, dims) for t in range(8)])
    )


@pytest.mark.parametrize('dims', [48, 7])
def test_of_space_rows_and_columns_have_half_of_the_sinusoids_each(dims: int) -> None:
    half = (dims + 1) // 2
    expected = [[(expected_sinusoid(y, half) + expected_sinusoid(x, half))[:dims] for x in range(5)] for y in range(3)]
    assert_close(start('sinusoid', Grid(8, 3, 5), dims).space[0], torch.tensor(expected))


def test_the_tables_start_as_noise_of_standard_deviation_one() -> None:
    embedding = start('noise', Grid(100, 10, 10), 100)
    for table in (embedding.time, embedding.space):
        assert table.mean().abs() < 0.05
        assert (table.std() - 1).abs() < 0.05


@pytest.mark.parametrize(('height', 'width'), [(33, 64), (32, 50)])
def test_a_frame_that_is_no_multiple_of_the_patch_is_refused(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=rf'{height} x {width} pixels \(height x width\).* patch size 16'):
        tiny_backbone('DividedAttention')(tiny_clips(height=height, width=width))


def test_a_table_that_is_no_multiple_of_the_patch_is_refused() -> None:
    with pytest.raises(ValueError, match='img_size is 32 x 50 .* patch_size 16'):
        tiny_backbone('DividedAttention', img_size=(32, 50))


@pytest.mark.parametrize(('option', 'value'), [('position', 'place'), ('position_init', 'one')])
def test_an_unknown_choice_is_refused_with_the_known_ones(option: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{option} is '{value}', expected one of .*'"):
        tiny_backbone('DividedAttention', **{option: value})
