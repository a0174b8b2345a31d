"""Names of version 0.1: files are read by them, configs are told today's."""

import re

import pytest
import torch
from helpers import SCHEMES, tiny_backbone
from mmengine.runner import load_state_dict
from runs import ROOT, TINY
from torch import Tensor

from mmtsf.apis import init_recognizer
from mmtsf.models import DividedAttention
from mmtsf.weights import backbone_config, translate


def old(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as version 0.1 called them."""
    return {key.replace('.temporal_fc.', '.fc.'): value for key, value in state.items()}


@pytest.mark.parametrize('scheme', SCHEMES)
def test_a_model_takes_weights_by_their_old_names(scheme: str) -> None:
    trained = tiny_backbone(scheme).state_dict()
    for load in (torch.nn.Module.load_state_dict, load_state_dict):
        model, state = tiny_backbone(scheme), old(trained)
        for parameter in model.parameters():
            torch.nn.init.zeros_(parameter)
        load(model, state, strict=True)
        assert all(torch.equal(value, trained[key]) for key, value in model.state_dict().items())
        assert state.keys() == old(trained).keys()  # the caller's own is left alone


def test_a_checkpoint_of_version_0_1_is_read(tiny_checkpoint, tmp_path) -> None:
    content = torch.load(tiny_checkpoint, weights_only=True)
    content['state_dict'] = old(content['state_dict'])
    backbone = content['meta']['backbone']
    backbone['position_start'] = backbone.pop('position_init')
    backbone['attention']['extension'] = True
    torch.save(content, tmp_path / 'old.pth')
    assert any('.fc.' in key for key in content['state_dict'])
    models = [init_recognizer(ROOT / TINY, path, 'cpu') for path in (tiny_checkpoint, tmp_path / 'old.pth')]
    expected, found = (model.state_dict() for model in models)
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    config = backbone_config(translate(content))
    assert config['position_init'] == 'noise'
    assert config['attention']['temporal_fc'] is True


def test_a_file_that_has_a_word_twice_is_refused() -> None:
    weights = translate(tiny_backbone('DividedAttention').state_dict())
    attention = dict(type='DividedAttention', extension=True, temporal_fc=False)
    weights.options = dict(type='TimeSformer', attention=attention)
    with pytest.raises(ValueError, match='extension is called temporal_fc now, and the config has both'):
        backbone_config(weights)


def test_old_words_of_configs_are_named_with_their_successors() -> None:
    for build, words in (
        (
            lambda: tiny_backbone('DividedAttention', position_start='noise'),
            "'position_start'; position_start is called",
        ),
        (lambda: DividedAttention(8, 2, extension=False), "'extension'; extension is called temporal_fc now"),
    ):
        with pytest.raises(TypeError, match=f'unexpected keyword argument {re.escape(words)}'):
            build()
