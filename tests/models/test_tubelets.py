"""Models of tubelets, without a classification token, do what others do: here beside what a formula says."""

import numpy as np
import pytest
import torch
from helpers import assert_close, tiny_backbone, tiny_clips, untrained_backbone
from mmengine.optim import build_optim_wrapper
from runs import ROOT, TINY
from torch.nn import functional as F

from mmtsf.apis import attention_maps, extract, init_recognizer
from mmtsf.deploy.export import ClipClassifier, export_onnx, export_torch, exported, largest_difference
from mmtsf.deploy.fuse import fuse
from mmtsf.evaluation.model_costs import costs_of
from mmtsf.models.layers.tubelet_embedding import numbered

TUBELETS = dict(embedding=dict(type='TubeletEmbedding'), pool='mean')
OPTIONS = {
    'start': None,
    'model.backbone.attention.type': 'JointAttention',
    'model.backbone.embedding': TUBELETS['embedding'],
    'model.backbone.pool': 'mean',
    'model.backbone.position_init': 'image',
    'model.backbone.num_layers': 2,
}


def recognizer(**changes):
    """The quickstart's model of tubelets, with random weights."""
    with pytest.warns(UserWarning, match='no weights are given'):
        model = init_recognizer(ROOT / TINY, device='cpu', options=OPTIONS | changes)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


@torch.no_grad()
def test_a_tubelet_is_a_product_of_the_pixels_of_two_frames():
    backbone, clips = tiny_backbone('JointAttention', **TUBELETS), tiny_clips(2)
    tokens, grid = backbone.embedding(clips)
    assert grid == (2, 2, 4, 0)
    patch, weight = clips[1, :, 2:4, 16:32, 48:64], backbone.embedding.patch.weight
    expected = (weight * patch).sum((1, 2, 3, 4)) + backbone.embedding.patch.bias + numbered(16, 48)[15]
    assert_close(tokens[1, 15], expected, atol=1e-4)
    assert_close(backbone(clips), backbone.norm(backbone.encode(clips)[0].mean(dim=1)))
    assert 'embedding.positions' not in backbone.state_dict()


@torch.no_grad()
def test_positions_of_another_grid_are_interpolated():
    small, large = (tiny_backbone('JointAttention', **TUBELETS, num_frames=frames) for frames in (4, 8))
    large.embedding.positions, large.embedding.places = small.embedding.positions, small.embedding.places
    wide = tiny_backbone('JointAttention', **dict(TUBELETS, embedding=dict(type='TubeletEmbedding', places=[2, 2, 4])))
    table = numbered(2, 2, 4, 48)
    assert torch.equal(wide.embedding.positions, table)
    clips = torch.zeros(1, 3, 8, 64, 64)
    wide.embedding.patch.bias.zero_()
    expected = F.interpolate(table.permute(0, 3, 1, 2), (4, 4), mode='bicubic').permute(2, 3, 1, 0).flatten(0, 1)
    expected = F.interpolate(expected, 4, mode='linear').permute(2, 0, 1)  # (places, C, t)
    assert_close(wide.embedding(clips)[0][0].unflatten(0, (4, 16)), expected)


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        (
            dict(num_frames=5),
            r'clips have 5 frames, expected a multiple of 2, the frames of a tubelet .*; set clip.num',
        ),
        (dict(pool='cls'), r"pool is 'cls', and TubeletEmbedding has no classification token; use 'mean'"),
        (dict(attention=dict(type='SpaceAttention')), "position is 'space', and TubeletEmbedding has fixed positions"),
        (dict(position='rotary'), "position is 'rotary', and TubeletEmbedding has fixed positions"),
        (dict(position_init='noise'), "position_init is 'noise', and TubeletEmbedding has fixed positions"),
        (
            dict(embedding=dict(type='TubeletEmbedding', places=[10**4, 10**4, 10])),
            'places are .* 131,072 in all at most',
        ),
        (dict(embedding=dict(type='TubeletEmbedding', places=[2, 2])), 'places are .*, expected tubelets along time'),
    ],
)
def test_what_tubelets_cannot_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        tiny_backbone(**dict(attention='JointAttention', **TUBELETS) | changes)


def test_an_odd_clip_is_refused():
    with pytest.raises(ValueError, match='clips have 3 frames, expected a multiple of 2'):
        tiny_backbone('JointAttention', **TUBELETS)(tiny_clips(1, 3))


@pytest.mark.parametrize('scheme', ['DividedAttention', 'AxialAttention', 'LocalGlobalAttention'])
def test_other_schemes_take_tubelets_and_learn(scheme):
    backbone = untrained_backbone(scheme, **TUBELETS, drop_path_rate=0.0).train()
    clips = tiny_clips(2)
    backbone(clips).square().sum().backward()
    without = [name for name, parameter in backbone.named_parameters() if parameter.grad is None]
    assert not without
    assert_close(backbone.eval()(clips), backbone(clips))


@torch.no_grad()
def test_features_attention_fusing_and_scores_are_of_tubelets():
    model = recognizer()
    pixels = torch.randint(256, (2, 3, 8, 48, 48), dtype=torch.uint8)
    clips = model.data_preprocessor(dict(inputs=[pixels], data_samples=[]))['inputs'][0]
    features = {level: extract(model, clips, level) for level in ('clip', 'frame', 'tokens')}
    assert {level: tuple(feature.shape) for level, feature in features.items()} == dict(
        clip=(2, 64), frame=(2, 4, 64), tokens=(2, 4, 6, 6, 64)
    )
    assert_close(features['clip'], model.backbone(clips))
    (weights,) = attention_maps(model, clips[:1]).values()
    assert weights.shape == (8, 6, 6)
    assert weights[::2].sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(weights[::2], weights[1::2])
    expected = model.cls_head(model.backbone(clips))
    fuse(model)
    assert_close(model.cls_head(model.backbone(pixels)), expected, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(
    ('form', 'dynamic'),
    [('torch', False), *(pytest.param(form, True, marks=pytest.mark.long) for form in ('torch', 'onnx'))],
)
def test_exports_take_any_even_number_of_frames(form, dynamic, tmp_path):
    model = ClipClassifier(recognizer(**{'model.backbone.num_layers': 1})).eval()
    path = tmp_path / 'model'
    (export_torch if form == 'torch' else export_onnx)(model, model.example(2, 8, 48, 48), path, dynamic)
    others = [(1, 4, 48, 48), (3, 6, 64, 48)] if dynamic else []
    examples = [model.example(*shape) for shape in [(2, 8, 48, 48), *others]]
    assert largest_difference(model, exported(path, form), examples) < 1e-4


def test_rates_fall_by_layers_and_an_attentive_head_pools_tubelets():
    model = recognizer(**{'training.head.type': 'AttentiveHead', 'training.head.num_heads': 2})
    optimizer = dict(type='SGD', lr=1.0, weight_decay=0.1)
    config = dict(optimizer=optimizer, constructor='LayerDecayConstructor', paramwise_cfg=dict(layer_decay=0.5))
    groups = build_optim_wrapper(model, config).optimizer.param_groups
    rates = {id(parameter): group['lr'] for group in groups for parameter in group['params']}
    assert rates[id(model.backbone.embedding.patch.weight)] == 0.125
    clips = tiny_clips(1, 8, 48, 48)
    assert model.extract_feat(clips[None])[0].shape == (1, 4 * 36, 64)
    assert costs_of(TINY, OPTIONS)[1]['embedding'] == 4 * 36 * 64 * 3 * 2 * 64
