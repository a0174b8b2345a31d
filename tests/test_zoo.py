"""Models by name, as MMEngine's hub has them."""

import subprocess
import sys

import pytest
import torch
from runs import ROOT

import mmtsf


def test_names_are_those_of_the_paper():
    names = mmtsf.list_models()
    assert {'timesformer_base_k400', 'timesformer_axial_k400', 'timesformer_l_ssv2'} <= set(names)
    assert mmtsf.list_models('*base_ssv2') == ['timesformer_base_ssv2']
    assert 'timesformer_axial_k400' not in mmtsf.list_models(pretrained=True)
    assert 'vit_base_imagenet21k' not in names  # weights to start from, not a model


@pytest.mark.parametrize('name', ['timesformer_base_k400', 'mmtsf::timesformer_base_k400.py'])
def test_a_config_is_made_by_name(name):
    config = mmtsf.get_config(name, options={'clip.num_frames': 16})
    assert config.model.backbone.num_frames == 16
    assert 'model_path' not in config


def test_published_weights_come_with_what_they_need():
    config = mmtsf.get_config('timesformer_l_ssv2', pretrained=True)
    assert config.model_path == 'timesformer_l_ssv2'
    assert (config.model.data_preprocessor.to_rgb, config.model.backbone.num_frames) == (True, 64)
    theirs = mmtsf.get_config('mmaction2_timesformer_base_k400', pretrained=True)
    assert theirs.model.data_preprocessor.mean == [127.5] * 3
    with pytest.raises(ValueError, match='there are no published weights of timesformer_axial_k400; those with'):
        mmtsf.get_config('timesformer_axial_k400', pretrained=True)


def test_a_model_is_made_by_name_with_weights_or_without(tiny_checkpoint, recwarn):
    name = 'timesformer_tiny_motion'
    model = mmtsf.get_model(name, device='cpu')
    assert not model.training
    assert not [warning for warning in recwarn if 'weights' in str(warning.message)]
    trained = mmtsf.get_model(name, tiny_checkpoint, 'cpu')
    expected = torch.load(tiny_checkpoint)['state_dict']['backbone.norm.weight']
    assert torch.equal(trained.backbone.norm.weight, expected)


def test_a_name_that_is_none_is_met_with_the_nearest():
    with pytest.raises(FileNotFoundError, match='did you mean mmtsf::timesformer_base_k400.py'):
        mmtsf.get_config('timesformer_bas_k400')
    with pytest.raises(AttributeError, match="no attribute 'get_modl'"):
        _ = mmtsf.get_modl


def test_importing_stays_light():
    """Names are listed without PyTorch."""
    code = "import sys, mmtsf; assert mmtsf.list_models(); assert not {'torch', 'mmengine'} & set(sys.modules)"
    subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True, timeout=60)
