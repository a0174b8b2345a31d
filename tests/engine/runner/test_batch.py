"""The global batch of a run."""

import pytest
from mmengine.config import Config

from mmtsf.engine.runner.batch import set_batch


def config_of(total: int, batch_size: int, **wrapper) -> Config:
    return Config(
        dict(
            global_batch_size=total,
            train_dataloader=dict(batch_size=batch_size),
            optim_wrapper=wrapper,
            launcher='pytorch',
        )
    )


@pytest.fixture
def processes(monkeypatch):
    """A function that says how many processes torchrun has started."""
    return lambda number: monkeypatch.setenv('WORLD_SIZE', str(number))


@pytest.mark.parametrize(
    ('total', 'batch_size', 'number', 'clips', 'steps'),
    [(16, 8, 1, 8, 2), (16, 8, 8, 2, 1), (16, 2, 1, 2, 8), (64, 8, 8, 8, 1), (12, 8, 1, 6, 2), (14, 8, 2, 7, 1)],
)
def test_the_global_batch_is_reached_once(total, batch_size, number, clips, steps, processes):
    processes(number)
    config = config_of(total, batch_size)
    assert set_batch(config) is not None
    reached = config.to_dict()
    assert config.train_dataloader.batch_size == clips
    assert config.optim_wrapper.accumulative_counts == steps
    assert number * clips * steps == total
    assert set_batch(config) is None
    assert config.to_dict() == reached


def test_the_log_says_videos_where_each_gives_several_clips(processes):
    processes(1)
    words = 'global batch 64 = 1 process x 8 clips x 8 accumulated steps'
    assert set_batch(config_of(64, 8)) == words
    config = config_of(64, 8)
    config.train_dataloader.dataset = dict(pipeline=[dict(type='OpenVideo'), dict(type='SampleClips', num_clips=2)])
    wrapped = config_of(64, 8)
    wrapped.train_dataloader.dataset = dict(type='RepeatDataset', dataset=config.train_dataloader.dataset)
    assert set_batch(config) == set_batch(wrapped) == words.replace('8 clips', '8 videos (16 clips)')


def test_a_batch_that_cannot_be_shared_is_named(processes):
    processes(3)
    words = 'global_batch_size is 16, not a multiple of the 3 processes; set global_batch_size to one'
    with pytest.raises(ValueError, match=words):
        set_batch(config_of(16, 8))


def test_another_accumulation_than_the_global_batch_takes_is_named(processes):
    processes(1)
    with pytest.raises(ValueError, match='accumulative_counts is 4, but global_batch_size=16 takes 2 .*size=32'):
        set_batch(config_of(16, 8, accumulative_counts=4))
    set_batch(agreeing := config_of(16, 8, accumulative_counts=2))
    assert agreeing.optim_wrapper.accumulative_counts == 2


def test_a_rate_that_follows_the_batch_leaves_it_alone(processes):
    processes(3)
    config = config_of(16, 8)
    config.auto_scale_lr = dict(enable=True, base_batch_size=16)
    assert set_batch(config) is None
    assert config.train_dataloader.batch_size == 8
    assert 'accumulative_counts' not in config.optim_wrapper
