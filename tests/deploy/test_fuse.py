"""Fused models are for prediction: they compute the same, say what they are, and are neither trained nor mixed up."""

import copy

import pytest
import torch
from mmaction.models import BaseRecognizer
from runs import ROOT, TINY

from mmtsf.apis import init_recognizer
from mmtsf.deploy.fuse import fuse, fuse_backbone
from mmtsf.weights import translate

NOT_TRAINED = 'this model was fused for prediction and cannot be trained; build it anew without fusing, as init_recogn'
NOT_PLAIN = 'weights of a model that was fused for prediction .* give the checkpoint that the fused model was made from'


@pytest.fixture
def fused(model: BaseRecognizer) -> BaseRecognizer:
    """The quickstart's model, fused."""
    model = copy.deepcopy(model)
    fuse(model)
    return model


def test_what_init_recognizer_returns_is_the_model(tiny_checkpoint) -> None:
    models = [init_recognizer(ROOT / TINY, tiny_checkpoint, 'cpu', **words) for words in ({}, dict(fused=False))]
    clips = torch.randn(2, 3, 8, 48, 48)
    outputs = [model.backbone.train()(clips) for model in models]
    assert torch.equal(*outputs)
    outputs[0].sum().backward()
    assert models[0].state_dict().keys() == torch.load(tiny_checkpoint, weights_only=True)['state_dict'].keys()


def loss(model: BaseRecognizer) -> torch.Tensor:
    clips = torch.randint(256, (1, 3, 8, 48, 48), dtype=torch.uint8)
    return model.cls_head(model.backbone(clips)).sum()


def test_a_fused_model_predicts_and_has_gradients_of_its_input_only(fused) -> None:
    loss(fused)
    clips = torch.rand(1, 3, 8, 48, 48, requires_grad=True)
    fused.backbone(clips)[:, 0].sum().backward()
    assert clips.grad.any()
    assert all(parameter.grad is None for parameter in fused.parameters())


def test_a_fused_model_refuses_to_train(fused) -> None:
    with pytest.raises(RuntimeError, match=NOT_TRAINED):
        loss(fused.train())
    fused.eval().requires_grad_()
    with pytest.raises(RuntimeError, match=NOT_TRAINED):
        loss(fused)
    with torch.no_grad():
        loss(fused)


def test_fused_weights_are_no_plain_ones_and_the_reverse(fused, model) -> None:
    state, plain = fused.state_dict(), model.state_dict()
    assert 'backbone.fused' in state
    for strict in (True, False):
        with pytest.raises(ValueError, match=NOT_PLAIN):
            model.load_state_dict(state, strict=strict)
        with pytest.raises(
            ValueError, match='fused for prediction, and takes no weights of a plain one; build it anew'
        ):
            fused.load_state_dict(plain, strict=strict)
    copy.deepcopy(fused).load_state_dict(state)
    with pytest.raises(ValueError, match=NOT_PLAIN):
        translate(dict(state_dict=state))


def test_a_model_is_fused_once(fused) -> None:
    expected = {key: value.clone() for key, value in fused.state_dict().items()}
    fuse(fused)
    assert all(torch.equal(value, expected[key]) for key, value in fused.state_dict().items())
    with pytest.raises(ValueError, match='this backbone is fused already'):
        fuse_backbone(fused.backbone)
