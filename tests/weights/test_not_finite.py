"""Weights are finite real numbers, whatever reads them."""

import numpy as np
import pytest
import torch
from helpers import hugging_face_model, tiny_backbone
from runs import ROOT, TINY
from torch import Tensor

from mmtsf.apis import init_recognizer
from mmtsf.weights import Pretrained, load_weights, not_finite, translate

KEY = 'backbone.blocks.0.norm.weight'


def weights() -> dict[str, Tensor]:
    return {f'backbone.{key}': value for key, value in tiny_backbone('DividedAttention').state_dict().items()}


@pytest.mark.parametrize('number', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('kind', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_that_are_not_finite_are_named(number, kind):
    state = {key: value.to(kind) for key, value in weights().items()}
    assert translate(state).report.matched == len(state)
    state[KEY] = state[KEY].clone()
    state[KEY][3] = number
    with pytest.raises(
        ValueError,
        match=f'1 weights hold NaN, an infinity or a number too large for float32: {KEY}; take an earlier checkpoint',
    ):
        translate(dict(state_dict=state, meta={}))


def test_numbers_that_no_model_can_hold_are_not_finite():
    state = dict(big=torch.tensor([1e300], dtype=torch.float64), whole=torch.arange(3), none=torch.empty(0))
    state |= dict(low=torch.tensor([-float('inf')]), bytes=torch.tensor([float('nan')]).to(torch.float8_e4m3fn))
    assert not_finite(state) == ['big', 'low', 'bytes']
    assert not_finite(dict(turned=torch.tensor([complex(0, float('inf'))]), real=torch.tensor([1j]))) == ['turned']


@pytest.mark.parametrize(
    'kind', [torch.complex64, torch.complex128, torch.int8, torch.int64, torch.bool, torch.float8_e4m3fn]
)
def test_weights_that_are_no_real_numbers_are_named(kind):
    state = weights()
    state[KEY] = state[KEY].to(kind)
    words = f'1 weights are {str(kind)[6:]}, expected float16, bfloat16, float32 or float64: {KEY}'
    with pytest.raises(ValueError, match=words):
        translate(state)


@pytest.mark.parametrize(
    'odd',
    [
        lambda value: value.to_sparse(),
        lambda value: value.to('meta'),
        lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
    ],
    ids=['sparse', 'meta', 'quantised'],
)
def test_weights_that_are_not_dense_are_named(odd):
    state = weights()
    state[KEY] = odd(state[KEY])
    with pytest.raises(
        ValueError, match=f'the weights {KEY} have no name, or are sparse, quantised or without numbers'
    ):
        translate(state)


def test_weights_of_another_origin_are_checked_too():
    state = hugging_face_model().state_dict()
    state['timesformer.layernorm.bias'][0] = float('nan')
    with pytest.raises(
        ValueError, match='1 weights hold NaN, an infinity or a number too large for float32: backbone.norm.bias'
    ):
        translate(state)


@pytest.mark.parametrize('kind', [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_numbers_load_as_they_are(kind):
    state = {key: value.to(kind) for key, value in weights().items()}
    model = tiny_backbone('DividedAttention')
    load_weights(translate(state), model, may_start_fresh=False)
    assert all(torch.equal(value, state[f'backbone.{key}'].float()) for key, value in model.state_dict().items())


def test_no_reader_takes_weights_that_are_not_finite(tiny_checkpoint, tmp_path):
    content = torch.load(tiny_checkpoint, weights_only=True)
    content['state_dict']['cls_head.fc_cls.bias'][1] = float('nan')
    torch.save(content, tmp_path / 'nan.pth')
    np.savez(tmp_path / 'nan.npz', **{key: value.numpy() for key, value in content['state_dict'].items()})
    for path in (tmp_path / 'nan.pth', tmp_path / 'nan.npz'):
        with pytest.raises(
            ValueError, match='1 weights hold NaN, an infinity or a number too large for float32: cls_head.fc_cls.bias'
        ):
            init_recognizer(ROOT / TINY, path, 'cpu')
        with pytest.raises(
            ValueError, match='1 weights hold NaN, an infinity or a number too large for float32: cls_head.fc_cls.bias'
        ):
            Pretrained(str(path))(tiny_backbone('DividedAttention'))


def test_a_file_of_more_weights_than_a_model_has_is_refused():
    with pytest.raises(ValueError, match='there are 60,000 weights in this checkpoint, more than the 50,000'):
        translate(dict.fromkeys(map(str, range(60_000)), torch.ones(1)))


@pytest.mark.parametrize('key', [0, None, ('a', 1)])
def test_weights_without_a_name_are_refused(key):
    with pytest.raises(ValueError, match='have no name, or are sparse'):
        translate(dict(state_dict={**weights(), key: torch.ones(1)}))
