"""Batches and processes of a run."""

import argparse
import os

import pytest
from mmengine.config import Config

from mmtsf.engine import launch


def config_of(total: int, batch_size: int) -> Config:
    return Config(dict(global_batch_size=total, train_dataloader=dict(batch_size=batch_size), optim_wrapper=dict()))


@pytest.mark.parametrize(
    ('total', 'batch_size', 'processes', 'clips', 'steps'),
    [(16, 8, 1, 8, 2), (16, 8, 8, 2, 1), (16, 2, 1, 2, 8), (64, 8, 8, 8, 1), (12, 8, 1, 6, 2), (14, 8, 2, 7, 1)],
)
def test_the_global_batch_is_reached(total, batch_size, processes, clips, steps):
    config = config_of(total, batch_size)
    launch.set_batch(config, processes)
    assert config.train_dataloader.batch_size == clips
    assert config.optim_wrapper.accumulative_counts == steps
    assert processes * clips * steps == total


def test_the_log_says_videos_where_each_gives_several_clips():
    config = config_of(64, 8)
    words = 'global batch 64 = 1 processes x 8 clips x 8 accumulated steps'
    assert launch.set_batch(config, 1) == words
    config.train_dataloader.dataset = dict(pipeline=[dict(type='OpenVideo'), dict(type='SampleClips', num_clips=2)])
    assert launch.set_batch(config, 1) == words.replace('8 clips', '8 videos (16 clips)')


def test_cores_are_those_that_the_process_may_use():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert launch.num_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert launch.num_cores() == len(allowed)


def test_a_batch_that_cannot_be_shared_is_named():
    words = 'global_batch_size is 16, not a multiple of the 3 processes; set global_batch_size to one'
    with pytest.raises(ValueError, match=words):
        launch.set_batch(config_of(16, 8), 3)


def test_more_gpus_than_there_are_are_named(monkeypatch):
    # no machine at hand has a GPU, so this one is told that it has
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '8')
    monkeypatch.setattr(launch, 'is_cuda_available', lambda: True)
    monkeypatch.setattr(launch.torch.cuda, 'device_count', lambda: 2)
    args = argparse.Namespace(
        config='configs/timesformer_tiny_motion.py', cfg_options={}, work_dir=None, launcher='pytorch'
    )
    with pytest.raises(RuntimeError, match='8 GPUs are asked for, but this machine has 2; give that number'):
        launch.prepare(args)
