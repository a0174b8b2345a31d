"""The backbone: its start, the sizes it takes, its options, its errors."""

import mmaction.registry
import pytest
import torch
from helpers import SCHEMES, assert_close, tiny_backbone, tiny_clips, untrained_backbone
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmtsf.models import TimeSformer
from mmtsf.models.layers import Grouping
from mmtsf.registry import MODELS

ORDERS = ('time_space', 'space_time', 'parallel')
each_scheme = pytest.mark.parametrize('attention', SCHEMES)
each_order = pytest.mark.parametrize('order', ORDERS)


def divided(order: str) -> dict:
    return dict(type='DividedAttention', order=order)


@each_order
@torch.no_grad()
def test_an_untrained_divided_model_is_the_image_model_on_a_still_clip(order: str) -> None:
    video, image = untrained_backbone(divided(order)), untrained_backbone('SpaceAttention')
    image.load_state_dict({key: video.state_dict()[key] for key in image.state_dict()})
    frames = tiny_clips(batch=2, num_frames=1)
    assert_close(video(frames.expand(-1, -1, 8, -1, -1)), image(frames))


@each_scheme
@torch.no_grad()
def test_added_steps_add_nothing_at_the_start_and_the_image_models_does(attention: str) -> None:
    model = untrained_backbone(attention)
    tokens, grid = model.embedding(tiny_clips())
    for block in model.blocks:
        *added, image_step = block.attention.steps.values()
        assert not any(step(tokens, grid).any() for step in added)
        assert image_step(tokens, grid).all()


def test_linear_layers_start_as_the_image_models_do() -> None:
    model = untrained_backbone('JointAttention', embed_dims=96)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            assert not module.bias.any()
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_init_cfg_has_the_last_word(tmp_path) -> None:
    trained = tiny_backbone('DividedAttention')
    torch.save(trained.state_dict(), tmp_path / 'trained.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'trained.pth'))
    model = untrained_backbone('DividedAttention', init_cfg=init_cfg, position_init='noise')
    for name, value in trained.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


def resized(model: TimeSformer, attention: str, num_frames: int, img_size: tuple[int, int]) -> TimeSformer:
    """A model for this size with the same weights."""
    other = tiny_backbone(attention, num_frames=num_frames, img_size=img_size)
    other.load_state_dict(model.state_dict())
    return other


@pytest.mark.parametrize(
    ('attention', 'num_frames', 'img_size'),
    [
        (attention, num_frames, img_size)
        for attention in SCHEMES
        for num_frames, img_size in [(1, (64, 32)), (3, (32, 96)), (16, (32, 64)), (2, (96, 64))]
        if attention != 'LocalGlobalAttention' or num_frames % 2 == 0
    ],
)
@torch.no_grad()
def test_frames_height_and_width_come_from_the_clip(attention: str, num_frames: int, img_size: tuple[int, int]) -> None:
    model, clips = tiny_backbone(attention), tiny_clips(2, num_frames, *img_size)
    assert_close(model(clips), resized(model, attention, num_frames, img_size)(clips))


@pytest.mark.parametrize(
    ('num_frames', 'height', 'width', 'axis', 'grid'),
    [
        (3, 32, 64, 't', '3 x 2 x 4'),
        (4, 48, 64, 'h', '4 x 3 x 4'),
        (4, 32, 80, 'w', '4 x 2 x 5'),
    ],
)
def test_local_global_attention_refuses_what_it_cannot_halve(
    num_frames: int, height: int, width: int, axis: str, grid: str
) -> None:
    with pytest.raises(ValueError, match=f"axis '{axis}' .* into 2 equal parts, .* t x h x w = {grid}"):
        tiny_backbone('LocalGlobalAttention')(tiny_clips(1, num_frames, height, width))


@each_scheme
@torch.no_grad()
def test_clips_of_a_batch_do_not_meet(attention: str) -> None:
    model, clips = tiny_backbone(attention), tiny_clips(batch=3)
    assert_close(model(clips), torch.cat([model(clip[None]) for clip in clips]))


@torch.no_grad()
def test_space_attention_averages_its_frames_before_the_last_norm() -> None:
    model, clip = tiny_backbone('SpaceAttention'), tiny_clips()
    frames = [model.encode(frame[:, :, None])[0][:, 0] for frame in clip.unbind(2)]
    assert_close(model(clip), model.norm(sum(frames) / 4))


@each_order
@torch.no_grad()
def test_divided_attention_follows_its_order(order: str) -> None:
    model = tiny_backbone(divided(order), num_layers=1)
    tokens, grid = model.embedding(tiny_clips(batch=2))
    attention = model.blocks[0].attention
    time, space = attention.steps['time'], attention.steps['space']
    after_time, after_space = tokens + time(tokens, grid), tokens + space(tokens, grid)
    expected = {
        'time_space': after_time + space(after_time, grid),
        'space_time': after_space + time(after_space, grid),
        'parallel': after_time + after_space - tokens,
    }
    assert_close(attention(tokens, grid), expected.pop(order))
    for other in expected.values():
        assert (attention(tokens, grid) - other).abs().max() > 1e-2


@torch.no_grad()
def test_a_step_is_dense_attention_where_its_group_is_everything() -> None:
    """Against PyTorch's own multi-head attention."""
    step = tiny_backbone('JointAttention').blocks[0].attention.steps['joint']
    theirs = nn.MultiheadAttention(48, 4, batch_first=True)
    theirs.in_proj_weight, theirs.in_proj_bias, theirs.out_proj = step.qkv.weight, step.qkv.bias, step.proj
    tokens, grid = tiny_backbone('JointAttention').embedding(tiny_clips(batch=2))
    normed = step.norm(tokens)
    assert_close(step(tokens, grid), theirs(normed, normed, normed)[0])


def gradients_and_memory(model: TimeSformer, clips: Tensor) -> tuple[list[Tensor], int]:
    """Gradients, and the number of values kept for the backward pass."""
    kept = []
    torch.manual_seed(1)  # the same rows are dropped
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        loss = model(clips).square().sum()
    return torch.autograd.grad(loss, list(model.parameters())), sum(kept)


@each_scheme
def test_recomputing_blocks_keeps_less_and_changes_no_gradient(attention: str) -> None:
    plain = tiny_backbone(attention, drop_path_rate=0.5).train()
    frugal = tiny_backbone(attention, drop_path_rate=0.5, with_cp=True).train()
    frugal.load_state_dict(plain.state_dict())
    clips = tiny_clips(batch=2)
    (expected, much), (actual, little) = gradients_and_memory(plain, clips), gradients_and_memory(frugal, clips)
    for name, a, b in zip(plain.state_dict(), actual, expected, strict=True):
        assert torch.equal(a, b), name
    assert little < much / 2


@each_scheme
def test_every_parameter_gets_a_gradient(attention: str) -> None:
    """Otherwise distributed training stops with unused parameters."""
    model = tiny_backbone(attention)
    names, parameters = zip(*model.named_parameters(), strict=True)
    grads = torch.autograd.grad(model(tiny_clips()).square().sum(), parameters, materialize_grads=True)
    assert not [name for name, grad in zip(names, grads, strict=True) if not grad.any()]


@pytest.mark.parametrize(
    'config',
    [
        dict(type='TimeSformer', attention=dict(type='DividedAttention'), num_frame=8),
        dict(type='TimeSformer', attention=dict(type='DividedAttention', num_frame=8)),
        dict(type='TimeSformerHead', num_classes=7, in_channels=48, num_frame=8),
    ],
    ids=['backbone', 'attention', 'head'],
)
def test_a_misspelt_key_is_refused_by_name(config: dict) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'num_frame'"), torch.device('meta'):
        MODELS.build(config)


@pytest.mark.parametrize(
    'part', [dict(attention=divided('time_space') | dict(num_heads=2)), dict(mlp=dict(embed_dims=12))]
)
def test_a_part_that_sets_a_size_of_the_backbones_is_refused_by_name(part: dict) -> None:
    (name,) = part
    with pytest.raises(TypeError, match=rf"{name} sets \['\w+'\], which the backbone sets for it; set them there"):
        tiny_backbone(**dict(attention=divided('time_space')) | part)


def test_an_unknown_order_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match="order is 'time', expected .'time', 'space'. in some order, joined by '_', or 'parallel'"
    ):
        tiny_backbone(divided('time'))


def test_a_width_that_the_heads_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match='embed_dims 50 is not divisible by num_heads 4'):
        tiny_backbone('JointAttention', embed_dims=50)


def test_a_backbone_in_a_config_of_mmaction2_finds_its_parts():
    with DefaultScope.overwrite_default_scope('mmaction'):
        backbone = mmaction.registry.MODELS.build(
            dict(
                type='mmtsf.TimeSformer',
                attention=dict(type='DividedAttention'),
                num_layers=1,
                embed_dims=24,
                num_heads=2,
            )
        )
        assert list(backbone.blocks[0].attention.steps) == ['time', 'space']
        with pytest.raises(TypeError, match="'attention_type'; MMAction2's attention_type is attention=dict"):
            mmaction.registry.MODELS.build(
                dict(type='mmtsf.TimeSformer', attention=dict(type='JointAttention'), attention_type='space_only')
            )


@pytest.mark.parametrize(
    'axes',
    [
        dict(groups='t', members='nt h w', patches='t (nt h) w'),
        dict(groups='t', members='h'),
        dict(groups='t h', members='h w'),
        dict(groups='nt', members='h w', patches='nt h w'),
        dict(groups='x', members='t h w', patches='x t h w'),
    ],
)
def test_axes_that_do_not_make_up_the_grid_are_named(axes):
    with pytest.raises(ValueError, match='do not make up patches'):
        Grouping(**axes)
