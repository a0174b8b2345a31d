"""Scripts of MMEngine and MMAction2 run our configs with our Runner, and all others as before."""

from pathlib import Path

import mmaction.registry
import mmengine.registry
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from runs import ROOT, TINY, run_tool

import mmtsf.registry
from mmtsf.engine.runner import Runner


@pytest.fixture
def config(tmp_path) -> Config:
    """A config as a script reads it, with its references."""
    config = Config.fromfile(ROOT / TINY)
    config.work_dir = str(tmp_path)
    config.experiment_name = tmp_path.name  # MMEngine's own has the second in it, and keeps the scope of its first use
    config.merge_from_dict({'clip.num_frames': 4, 'log_level': 'ERROR'})
    return config


@pytest.mark.parametrize('registry', [mmengine.registry, mmaction.registry, mmtsf.registry], ids=lambda r: r.__name__)
@pytest.mark.parametrize('scope', [None, 'mmaction', 'mmtsf'])
def test_every_registry_builds_our_runner_of_a_config_of_ours(registry, scope, config):
    with DefaultScope.overwrite_default_scope(scope):
        runner = registry.RUNNERS.build(config)
    assert type(runner) is Runner
    assert runner.cfg.model.backbone.num_frames == 4
    assert 'global_batch_size' not in runner.cfg


def test_mmengines_runner_builds_ours_of_a_config_of_ours_and_itself_of_others(config, tmp_path):
    assert type(mmengine.runner.Runner.from_cfg(config)) is Runner
    other = Config(dict(model=dict(type='ToyModel'), work_dir=str(tmp_path), runner_type='Runner'))
    mmengine.registry.MODELS.register_module('ToyModel', force=True, module=mmengine.model.BaseModel)
    with pytest.raises(TypeError, match='abstract'):  # which has gone as far as building its model
        mmengine.runner.Runner.from_cfg(other)


def test_what_a_run_leaves_takes_the_same_words(config, tmp_path):
    Runner.from_cfg(config)
    left = Config.fromfile(tmp_path / Path(TINY).name)
    left.merge_from_dict({'view': '10x3', 'clip.size': 64})
    assert mmtsf.config.resolve(left).model.backbone.img_size == 64
    assert mmtsf.config.resolve(left).test_dataloader.dataset.pipeline[1].num_clips == 10


def test_importing_mmtsf_leaves_mmengines_runner_alone():
    code = """
from mmengine.runner import Runner
before = vars(Runner)['from_cfg']
import mmtsf, mmtsf.registry, mmtsf.engine.runner, mmtsf.apis
assert vars(Runner)['from_cfg'] is before
"""
    run_tool('-c', code)


@pytest.mark.parametrize('registry', [mmaction.registry, mmtsf.registry], ids=lambda r: r.__name__)
def test_a_reference_that_reaches_a_model_is_named(registry, config):
    with pytest.raises(ValueError, match=r"given .*='\$\{.*resolve the config first: mmtsf.config.resolve\(config\)"):
        registry.MODELS.build(config.model)


def test_a_global_batch_that_cannot_be_reached_is_an_error_of_training_alone(config, monkeypatch):
    config.global_batch_size, config.launcher = 16, 'none'
    monkeypatch.setattr('mmtsf.engine.runner.batch.num_processes', lambda launcher: 3)
    runner = Runner.from_cfg(config)
    with pytest.raises(ValueError, match='global_batch_size is 16, not a multiple of the 3 processes'):
        runner.train()
