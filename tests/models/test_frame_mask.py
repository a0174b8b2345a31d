"""Clips of different lengths in one batch: frames that pad a clip attend to nothing and are attended by nothing."""

import pytest
import torch
from helpers import SCHEMES, assert_close, tiny_backbone, tiny_clips

from mmtsf.models import TimeSformer

MASK = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
OPTIONS = {
    'released': dict(position='space'),  # a table over time would be resized to the shorter clip
    'rotary': dict(position='rotary'),
    'one_cls': dict(position='none', cls_token='all'),
    'token_shift': dict(position='none', token_shift=True),
}
each_option = pytest.mark.parametrize('options', OPTIONS.values(), ids=OPTIONS)
each_scheme = pytest.mark.parametrize('attention', SCHEMES)


def model(attention: str, options: dict) -> TimeSformer:
    options = dict(options)
    scheme = {key: options.pop(key) for key in ('cls_token',) if key in options}
    return tiny_backbone(dict(type=attention, **scheme), num_frames=6, **options)


@each_option
@each_scheme
@torch.no_grad()
def test_a_padded_clip_gives_what_the_clip_gives(attention: str, options: dict) -> None:
    backbone, clips = model(attention, options), tiny_clips(2, 6)
    features = backbone(clips, MASK)
    assert_close(features[:1], backbone(clips[:1]))
    assert_close(features[1:], backbone(clips[1:, :, :4]))


@each_scheme
@torch.no_grad()
def test_what_padded_frames_show_does_not_matter(attention: str) -> None:
    backbone, clips = tiny_backbone(attention, num_frames=6), tiny_clips(2, 6)
    other = clips.clone()
    other[1, :, 4:] = torch.randn(3, 2, 32, 64)
    assert torch.equal(backbone(clips, MASK), backbone(other, MASK))
    assert not torch.equal(backbone(clips), backbone(other))


@each_scheme
def test_a_masked_clip_can_be_learned_from(attention: str) -> None:
    backbone, clips = tiny_backbone(attention, num_frames=6), tiny_clips(2, 6).requires_grad_()
    backbone(clips, MASK).square().sum().backward()
    assert not clips.grad[1, :, 4:].any()
    assert clips.grad[1, :, :4].any()
    assert all(parameter.grad.isfinite().all() for parameter in backbone.parameters())


@pytest.mark.parametrize(
    ('mask', 'words'),
    [
        (torch.ones(2, 5), r'frame_mask has the shape \(2, 5\), expected \(B, T\) = \(2, 6\)'),
        (torch.tensor([[True] * 6, [False] * 6]), 'frame_mask marks a clip without any real frame'),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(mask: torch.Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tiny_backbone('DividedAttention')(tiny_clips(2, 6), mask)
