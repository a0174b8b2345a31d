"""Weights of another geometry: what is resized, copied and left fresh, and what is refused."""

import pytest
import torch
from helpers import assert_close, hugging_face_model, tiny_backbone, tiny_clips, untrained_backbone
from torch import nn
from torch.nn import functional as F

from mmtsf.models import DividedAttention, TimeSformer
from mmtsf.registry import MODELS
from mmtsf.weights import Pretrained, backbone_config, build, load_weights, translate

pytest.importorskip('transformers')
DIVIDED = dict(type='DividedAttention')


def hugging_face(num_frames: int = 8, size: int = 32) -> nn.Module:
    """Hugging Face's divided model of 400 classes with random weights."""
    return hugging_face_model(num_frames=num_frames, image_size=size, num_labels=400)


def other(weights, num_classes: int = 400, **changes) -> nn.ModuleDict:
    """A model with the geometry of the weights but for some changes."""
    head = dict(type='TimeSformerHead', num_classes=num_classes, in_channels=48)
    backbone = dict(backbone_config(weights, num_heads=4), **changes)
    model = nn.ModuleDict(dict(backbone=MODELS.build(backbone), cls_head=MODELS.build(head)))
    model.backbone.init_weights()
    return model.eval()


@pytest.mark.parametrize('num_frames', [16, 96])
@torch.no_grad()
def test_other_frame_counts_interpolate_the_time_table(num_frames: int) -> None:
    weights = translate(hugging_face().state_dict())
    model = other(weights, num_frames=num_frames)
    report = load_weights(weights, model, may_start_fresh=False)
    assert report.resized == [f'backbone.embedding.time 8 -> {num_frames}']
    theirs = weights.state['backbone.embedding.time']
    expected = F.interpolate(theirs.mT, num_frames, mode='linear').mT
    assert_close(model.backbone.embedding.time, expected)
    assert model.backbone(tiny_clips(1, num_frames, 32, 32)).isfinite().all()


@torch.no_grad()
def test_a_larger_and_not_square_grid_interpolates_the_space_table() -> None:
    weights = translate(hugging_face(size=64).state_dict())
    model = other(weights, img_size=(64, 128))
    assert load_weights(weights, model).resized == ['backbone.embedding.space 4 x 4 -> 4 x 8']
    expected = F.interpolate(weights.state['backbone.embedding.space'].permute(0, 3, 1, 2), (4, 8), mode='bicubic')
    assert_close(model.backbone.embedding.space, expected.permute(0, 2, 3, 1))
    assert model.backbone(tiny_clips(1, 8, 64, 128)).isfinite().all()


@torch.no_grad()
def test_nearest_is_what_hugging_face_does_with_another_resolution() -> None:
    theirs = hugging_face(size=32)
    weights = translate(theirs.state_dict())
    model = other(weights, img_size=64)
    load_weights(weights, model, resize='nearest')
    clips = tiny_clips(2, 8, 64, 64)
    assert_close(model.cls_head(model.backbone(clips)), theirs(clips.transpose(1, 2)).logits)
    load_weights(weights, model, resize='smooth')
    assert (model.cls_head(model.backbone(clips)) - theirs(clips.transpose(1, 2)).logits).abs().max() > 1e-4


@torch.no_grad()
def test_the_released_rule_repeats_places_along_the_line() -> None:
    """2 x 2 to 4 x 4 gives rows 0000, 1111, 2222, 3333."""
    weights = translate(hugging_face(num_frames=2).state_dict())
    model = other(weights, img_size=64, num_frames=4)
    load_weights(weights, model, resize='released')
    places = weights.state['backbone.embedding.space'].flatten(0, 2)
    expected = places.repeat_interleave(4, dim=0).view(1, 4, 4, 48)
    assert torch.equal(model.backbone.embedding.space, expected)
    frames = weights.state['backbone.embedding.time'][0]
    assert torch.equal(model.backbone.embedding.time[0], frames.repeat_interleave(2, dim=0))


def test_other_classes_leave_the_head_fresh_in_training_and_are_refused_in_testing() -> None:
    weights = translate(hugging_face().state_dict())
    model = other(weights, num_classes=600)
    start = model.cls_head.fc_cls.weight.clone()
    assert load_weights(weights, model).fresh == ['cls_head.fc_cls.weight', 'cls_head.fc_cls.bias']
    assert torch.equal(model.cls_head.fc_cls.weight, start)
    with pytest.raises(ValueError, match=r'cls_head.fc_cls.weight: \(400, 48\) in the checkpoint, \(600, 48\) in the'):
        load_weights(weights, model, may_start_fresh=False)


def test_added_steps_may_keep_their_own_start() -> None:
    weights = translate(
        {f'backbone.{key}': value for key, value in tiny_backbone('SpaceAttention').state_dict().items()}
    )
    for added_steps, copied in (('image', True), ('own', False)):
        model = untrained_backbone('DividedAttention')
        start = model.blocks[0].attention.steps['time'].qkv.weight.clone()
        report = load_weights(weights, model, added_steps=added_steps)
        assert bool(report.copied) == copied
        assert torch.equal(model.blocks[0].attention.steps['time'].qkv.weight, start) != copied
        assert 'backbone.embedding.time' in report.fresh


def test_an_image_model_does_not_pass_for_a_video_model_in_testing() -> None:
    weights = translate(
        {f'backbone.{key}': value for key, value in tiny_backbone('SpaceAttention').state_dict().items()}
    )
    with pytest.raises(ValueError, match='17 weights are missing: backbone.blocks.0.attention.steps.time.norm.weight'):
        load_weights(weights, tiny_backbone('DividedAttention'), may_start_fresh=False)


def test_steps_that_the_model_lacks_are_named() -> None:
    weights = translate(
        {f'backbone.{key}': value for key, value in tiny_backbone('DividedAttention').state_dict().items()}
    )
    with pytest.raises(ValueError, match=r'17 are left over: .*backbone.blocks.0.attention.steps.time'):
        load_weights(weights, tiny_backbone('SpaceAttention'))


@pytest.mark.parametrize(
    ('option', 'value'), [('added_steps', 'zero'), ('resize', 'bilinear'), ('preprocessing', 'other')]
)
def test_an_unknown_word_is_refused_with_the_known_ones(option: str, value: str) -> None:
    weights = translate(hugging_face().state_dict())
    with pytest.raises(ValueError, match=f"{option} is '{value}', expected one of"):
        load_weights(weights, build(weights, num_heads=4), **{option: value})


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(attention=dict(DIVIDED, order='space_time')), 'with attention.order time_space, and this one'),
        (dict(attention=dict(DIVIDED, cls_token='keys')), 'set model.backbone.attention.cls_token=copies, or'),
        (dict(token_shift=True), 'set model.backbone.token_shift=False, or'),
    ],
)
def test_what_tensors_do_not_tell_is_compared_where_the_classifier_is_kept(changes, words) -> None:
    weights = translate(hugging_face().state_dict())
    model = other(weights, **changes)
    with pytest.raises(ValueError, match=words):
        load_weights(weights, model)
    load_weights(weights, model.backbone)  # which learns it anew


@torch.no_grad()
def test_a_backbone_starts_from_any_file_by_its_config(tmp_path) -> None:
    theirs = hugging_face()
    theirs.save_pretrained(tmp_path)
    config = dict(
        type='TimeSformer',
        attention=DIVIDED,
        img_size=32,
        embed_dims=48,
        num_heads=4,
        num_layers=2,
        init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path)),
    )
    ours: TimeSformer = MODELS.build(config)
    ours.init_weights()
    clips = tiny_clips(1, 8, 32, 32)
    assert_close(ours.eval()(clips), theirs.timesformer(clips.transpose(1, 2))[0][:, 0])


def test_a_misspelt_option_of_pretrained_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'resizes'"):
        Pretrained('file.pth', resizes='nearest')


def test_a_scheme_with_weights_of_its_own_starts_from_an_image_model():
    @MODELS.register_module(name='GatedForTest', force=True)
    class Gated(DividedAttention):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            self.gate = nn.Parameter(torch.ones(1))

    weights = translate(dict(tiny_backbone('SpaceAttention').state_dict()))
    model = untrained_backbone('GatedForTest')
    report = load_weights(weights, model)
    assert [key for key in report.fresh if 'gate' in key] == [f'backbone.blocks.{i}.attention.gate' for i in (0, 1)]
    with pytest.raises(ValueError, match='attention.gate'):
        load_weights(weights, model, may_start_fresh=False)
