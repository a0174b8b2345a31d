"""The workers of a data loader follow from the cores that a process has, unless a number is given."""

import logging
import os
import re

import pytest
import torch
from mmengine.logging import MMLogger
from torch.utils.data import TensorDataset

from mmtsf.config import load_config
from mmtsf.datasets.loading import number_of_workers, with_workers, workers
from mmtsf.engine.dry_run import Forecast, advice
from mmtsf.engine.runner import Runner
from mmtsf.utils import cores

CONFIG = 'configs/timesformer_base_k400.py'
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


@pytest.fixture
def machine(monkeypatch):
    """Sets the cores of this process, and the processes on its machine."""

    def set_to(number: int, processes: int | None = None) -> None:
        monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(number)))
        monkeypatch.setattr(cores, 'cpu_limits', lambda: iter(()))
        if processes is None:
            monkeypatch.delenv('LOCAL_WORLD_SIZE', raising=False)
        else:
            monkeypatch.setenv('LOCAL_WORLD_SIZE', str(processes))

    return set_to


@pytest.mark.parametrize(
    ('cores', 'processes', 'expected'), [(1, None, 1), (2, None, 2), (16, 1, 16), (96, 8, 12), (4, 8, 1), (96, 1, 16)]
)
def test_auto_is_the_share_of_the_cores_of_a_process_within_bounds(cores, processes, expected, machine):
    machine(cores, processes)
    assert number_of_workers('auto') == expected
    assert number_of_workers(3) == 3


@pytest.mark.parametrize('given', ['many', None, 2.5, -1, True])
def test_what_is_no_number_is_refused_with_the_remedy(given):
    words = f"num_workers is {given!r}, expected a number or 'auto'; set train_dataloader.num_workers=8"
    with pytest.raises(ValueError, match=re.escape(words)):
        with_workers(dict(num_workers=given))


@pytest.mark.parametrize('given', ['auto', 0, -1, 2.5])
def test_batches_ahead_that_are_no_number_are_refused(given):
    for number in (2, 'auto'):
        with pytest.raises(ValueError, match=f'prefetch_factor is {given!r}, expected a number of at least 1, or None'):
            with_workers(dict(num_workers=number, prefetch_factor=given))
    assert with_workers(dict(num_workers=2, prefetch_factor=None))['prefetch_factor'] is None


@pytest.mark.parametrize(('cores', 'ahead'), [(1, 4), (2, 2), (16, 2)])
def test_few_workers_read_further_ahead_and_a_given_number_takes_effect(cores, ahead, machine):
    machine(cores)
    assert with_workers(dict(num_workers='auto'))['prefetch_factor'] == ahead
    assert with_workers(dict(num_workers='auto', prefetch_factor=7))['prefetch_factor'] == 7
    for given in (dict(num_workers=3), dict(num_workers=0), {}):
        assert 'prefetch_factor' not in with_workers(given)
        assert with_workers(given)['num_workers'] == given.get('num_workers', 0)


def test_batches_are_pinned_where_there_is_a_gpu_alone(monkeypatch):
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda there=there: there)
        assert with_workers({})['pin_memory'] is there
        assert with_workers(dict(pin_memory=not there))['pin_memory'] is not there


@pytest.mark.parametrize('name', LOADERS)
def test_training_validation_and_testing_take_what_is_chosen_and_a_number_instead_of_it(name, machine):
    machine(6, 2)
    for given, expected in (({}, 3), ({f'{name}.num_workers': 1}, 1)):
        config = load_config(CONFIG, given)[name]
        config.dataset = TensorDataset(torch.ones(4))
        loader = Runner.build_dataloader(config, seed=0)
        assert loader.num_workers == expected
        assert config.num_workers == (expected if given else 'auto')  # the config stays what it was


def test_the_log_says_what_was_chosen(machine, caplog):
    machine(6, 2)
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, logger=logger.name):
            with_workers(dict(num_workers='auto'))
            with_workers(dict(num_workers=5))
    finally:
        logger.removeHandler(caplog.handler)
    assert [record.getMessage() for record in caplog.records] == [
        '3 data workers, 2 batches ahead each: 6 cores for 2 processes on this machine'
    ]


@pytest.mark.parametrize(('cores', 'words'), [(8, None), (64, 'num_workers=17 or more: there are 64 cores')])
def test_a_dry_run_advises_more_workers_only_where_auto_left_cores_alone(cores, words, machine):
    machine(cores)
    lines = '\n'.join(advice(load_config(CONFIG), Forecast(1.0, 2.0, 8, 10), memory=0.5))
    assert (words in lines) if words else ('num_workers' not in lines)
    assert workers.MOST == 16
