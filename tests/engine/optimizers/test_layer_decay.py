"""Rates of layers."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper

from mmtsf.config import load_config
from mmtsf.engine.optimizers.layer_decay import layer_of
from mmtsf.registry import MODELS

CONFIG = 'configs/timesformer_tiny_motion.py'
#: Rates of the tiny model's layers by hand, with a rate of 1 and a factor of 1/2: embedding, four blocks, norm and head
RATES = [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]


def built(**options):
    """The tiny model and its optimizer wrapper."""
    config = load_config(CONFIG, dict(recipe='modern', start=None, **options))
    with torch.device('meta'):
        model = MODELS.build(config.model)
    return model, build_optim_wrapper(model, config.optim_wrapper)


def by_hand(name: str) -> int:
    """Layer of a parameter of the tiny model, from its name."""
    words = name.split('.')
    if words[:2] == ['backbone', 'embedding']:
        return 0
    return 1 + int(words[2]) if words[1] == 'blocks' else 5


def test_every_parameter_has_the_rate_of_its_layer() -> None:
    model, wrapper = built(**{'lr': 1.0, 'optim_wrapper.paramwise_cfg.layer_decay': 0.5})
    found = {parameter: group for group in wrapper.optimizer.param_groups for parameter in group['params']}
    assert len(found) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert layer_of(name, 5) == by_hand(name)
        assert found[parameter]['lr'] == RATES[by_hand(name)], name


def test_biases_norms_and_tables_do_not_decay() -> None:
    model, wrapper = built()
    decaying = {p for group in wrapper.optimizer.param_groups if group['weight_decay'] for p in group['params']}
    assert all(group['weight_decay'] in (0.0, 0.05) for group in wrapper.optimizer.param_groups)
    expected = {'embedding.patch.weight', 'qkv.weight', 'proj.weight', 'temporal_fc.weight'}
    expected |= {'mlp.0.weight', 'mlp.2.weight'}
    for name, parameter in model.named_parameters():
        ends = any(name.endswith(end) for end in expected | {'fc_cls.weight'})
        assert (parameter in decaying) == ends, name


def test_frozen_weights_are_left_out() -> None:
    config = load_config(CONFIG, dict(recipe='linear_probe', start=None))
    config.optim_wrapper.update(constructor='LayerDecayConstructor', paramwise_cfg=dict(layer_decay=0.5))
    model = MODELS.build(config.model)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    assert {p for group in wrapper.optimizer.param_groups for p in group['params']} == set(model.cls_head.parameters())


@pytest.mark.parametrize('given', [dict(layer_decay=0.0), dict(layer_decay=1.5), dict(layer_decya=0.5), {}])
def test_another_paramwise_cfg_is_named(given: dict) -> None:
    config = load_config(CONFIG, dict(recipe='modern', start=None))
    config.optim_wrapper.paramwise_cfg = given
    with pytest.raises(ValueError, match='paramwise_cfg is .*, expected dict.layer_decay=F. with F in'):
        build_optim_wrapper(MODELS.build(config.model), config.optim_wrapper)
