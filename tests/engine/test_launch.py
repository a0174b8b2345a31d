"""Processes of a run."""

import argparse

import pytest

from mmtsf.engine import launch


def test_more_gpus_than_there_are_are_named(monkeypatch):
    # no machine at hand has a GPU, so this one is told that it has
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '8')
    monkeypatch.setattr(launch, 'is_cuda_available', lambda: True)
    monkeypatch.setattr(launch.torch.cuda, 'device_count', lambda: 2)
    args = argparse.Namespace(
        config='configs/timesformer_tiny_motion.py',
        cfg_options=['data.source=folder'],
        work_dir=None,
        launcher='pytorch',
    )
    with pytest.raises(RuntimeError, match='8 GPUs are asked for, but this machine has 2; give that number'):
        launch.prepare(args)
