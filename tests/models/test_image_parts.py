"""Parts of newer image models do what they say, in every way a model is used."""

import pytest
import torch
from helpers import SCHEMES, assert_close, tiny_backbone, tiny_clips, untrained_backbone
from torch import nn

from mmtsf.deploy.fuse import fuse_backbone
from mmtsf.engine.optimizers.layer_decay import LayerDecayConstructor
from mmtsf.models.layers import MLP, AttentionStep, ClipEmbedding, GatedMLP, LayerScale, QuickGELU, RotaryStep

PARTS = {
    'norm first': dict(embedding=dict(type='NormEmbedding'), mlp=dict(type='MLP', activation='quick_gelu')),
    'registers': dict(embedding=dict(type='RegisterEmbedding', num_registers=2, antialias=True), layer_scale=0.5),
    'rotary': dict(
        embedding=dict(type='RegisterEmbedding'),
        position='time',
        step=dict(type='RotaryStep'),
        layer_scale=0.5,
        mlp=dict(type='GatedMLP', activation='silu'),
    ),
    'mean': dict(pool='mean'),
}
each_part = pytest.mark.parametrize('parts', PARTS.values(), ids=PARTS)


@each_part
@pytest.mark.parametrize('attention', SCHEMES)
@torch.no_grad()
def test_the_last_blocks_classification_token_alone_and_fused_weights_give_the_same(
    attention: str, parts: dict
) -> None:
    backbone, clips = tiny_backbone(attention, **parts), tiny_clips(2)
    features = backbone(clips)
    assert backbone.can_end_at_cls(clips) == ('pool' not in parts)
    tokens, grid = backbone.encode(clips)
    expected = tokens[:, grid.lead :].mean(dim=1) if 'pool' in parts else tokens[:, 0]
    assert_close(backbone.norm(expected.view(2, -1, 48).mean(dim=1)), features)
    fuse_backbone(backbone)
    assert_close(backbone(clips), features)
    assert not any(isinstance(module, LayerScale) for module in backbone.modules())


@torch.no_grad()
def test_a_layer_scale_that_something_looks_at_is_not_folded() -> None:
    backbone, clips = tiny_backbone('DividedAttention', layer_scale=0.5), tiny_clips()
    features = backbone(clips)
    scale = backbone.blocks[0].attention.steps['time'].scale
    scale.register_forward_hook(lambda module, given, result: 2 * result)
    doubled = backbone(clips)
    fuse_backbone(backbone)
    assert backbone.blocks[0].attention.steps['time'].scale is scale
    assert_close(backbone(clips), doubled)
    assert not torch.equal(doubled, features)


@each_part
def test_new_parts_learn_at_their_layers_rate_without_weight_decay(parts: dict) -> None:
    model = nn.Module()
    model.backbone, model.cls_head = untrained_backbone('DividedAttention', **parts), nn.Linear(48, 2)
    groups: list[dict] = []
    settings = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.05))
    LayerDecayConstructor(settings, dict(layer_decay=0.5)).add_params(groups, model)
    rates = {id(weight): (group['lr'], group['weight_decay']) for group in groups for weight in group['params']}
    for name, weight in model.named_parameters():
        if name.startswith('backbone.embedding.') and 'patch' not in name:
            assert rates[id(weight)] == (0.125, 0)
        if name.endswith('.gamma'):
            assert rates[id(weight)] == (0.25 if '.blocks.0.' in name else 0.5, 0)


def test_under_bfloat16_autocast_a_scaled_residual_stays_low() -> None:
    backbone = tiny_backbone('DividedAttention', residual_dtype='bfloat16', **PARTS['rotary'])
    with torch.autocast('cpu', torch.bfloat16), torch.no_grad():
        assert backbone.encode(tiny_clips())[0].dtype == torch.bfloat16


@torch.no_grad()
def test_rotary_positions_tell_places_of_a_frame_apart_and_not_frames() -> None:
    backbone = tiny_backbone('DividedAttention', position='none', step=dict(type='RotaryStep'))
    clips = tiny_clips()
    assert_close(backbone(clips.flip(2)), backbone(clips))
    assert (backbone(clips.flip(4)) - backbone(clips)).abs().max() > 1e-3
    steps = backbone.blocks[0].attention.steps
    assert [(type(step), step.axes) for step in steps.values()] == [(RotaryStep, ''), (RotaryStep, 'hw')]


@torch.no_grad()
def test_activations_are_what_they_are_called() -> None:
    x = torch.randn(5, 8)
    assert_close(QuickGELU()(x), x / (1 + (-1.702 * x).exp()))
    gated = GatedMLP(8, ratio=2, activation='silu')
    values, gates = gated[0](x).chunk(2, dim=1)
    assert_close(gated(x), gated[2](values * nn.functional.silu(gates)))
    assert MLP(1536, ratio=4096 / 1536)[0].out_features == 4096


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(mlp=dict(type='MLP', activation='tanh')), "activation is 'tanh', expected one of .*quick_gelu"),
        (dict(mlp=dict(type='GatedMLP', activation='relu')), "activation is 'relu', expected one of .*silu"),
        (dict(embedding=dict(type='RegisterEmbedding', num_registers=0)), "num_registers is 0.*use 'ClipEmbedding'"),
        (dict(embedding=dict(type='NormEmbedding', position='space')), r"embedding sets \['position'\]"),
        (dict(pool='max'), "pool is 'max', expected one of"),
        (dict(step=dict(type='RotaryStep'), token_shift=True), 'which goes with none of'),
        (dict(step=dict(type='RotaryStep'), position='rotary'), 'which goes with none of'),
        (dict(step=dict(type='RotaryStep'), embed_dims=24), 'heads of a multiple of 4 channels, not 6'),
    ],
)
def test_what_a_part_does_not_have_is_refused(options: dict, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        tiny_backbone('DividedAttention', **options)


def test_a_part_that_names_no_type_is_the_usual_one() -> None:
    parts = dict(mlp=dict(activation='quick_gelu', ratio=2), embedding=dict(antialias=True), step=dict())
    backbone = tiny_backbone('DividedAttention', **parts)
    assert type(backbone.embedding) is ClipEmbedding
    assert backbone.embedding.antialias
    mlp, step = backbone.blocks[0].mlp, backbone.blocks[0].attention.steps['time']
    assert (type(mlp), mlp.activation, mlp[0].out_features) == (MLP, 'quick_gelu', 2 * mlp[0].in_features)
    assert type(step) is AttentionStep
