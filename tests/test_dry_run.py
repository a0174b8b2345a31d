"""What a dry run foretells and advises."""

import time
from datetime import timedelta

import numpy as np
import pytest
from mmengine.config import Config
from torch.utils.data import DataLoader

from mmtsf import dry_run
from mmtsf.dry_run import Forecast, advice, forecast_of, memory_advice, pace_of
from mmtsf.measure import Iterations


def config_of(**changes) -> Config:
    given = dict(
        train_dataloader=dict(batch_size=8, num_workers=0),
        model=dict(backbone=dict()),
        optim_wrapper=dict(type='OptimWrapper'),
    )
    return Config(given | changes)


class Slow:
    """Four samples of 10 ms each."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        time.sleep(0.01)
        return index


@pytest.mark.parametrize(
    ('pace', 'seconds', 'waiting'),
    [(0.1, 3.0, 1 / 3), (4.0, 4.0, 0.5)],
    ids=['as it was measured', 'loaded ahead in the first iterations'],
)
def test_a_forecast_of_what_was_measured(pace: float, seconds: float, waiting: float) -> None:
    measured = Iterations(np.array([2.0, 4.0]), np.array([0.0, 2.0]), clips=6, workers=[])
    assert (measured.clips_a_second, measured.waiting_share) == (2.0, pytest.approx(1 / 3))
    forecast = forecast_of(measured, pace, iterations=10)
    assert (forecast.seconds, forecast.waiting_share) == (seconds, pytest.approx(waiting))
    assert forecast.clips_a_second == 6 / seconds
    assert forecast.time_left == timedelta(seconds=10 * seconds)


@pytest.mark.parametrize('workers', [0, 2])
def test_the_pace_of_a_loader_is_that_of_all_its_workers(workers: int) -> None:
    loader: DataLoader = DataLoader(Slow(), batch_size=2, num_workers=workers)  # type: ignore[arg-type]
    assert 0.02 / max(workers, 1) * 0.4 < pace_of(loader) < 0.5


def test_nothing_is_advised_where_nothing_is_short() -> None:
    assert not list(advice(config_of(), Forecast(1.0, 1.05, 8, 10), memory=0.5))


def test_slow_data_is_named_with_what_helps(monkeypatch) -> None:
    monkeypatch.setattr(dry_run.os, 'cpu_count', lambda: 16)
    lines = '\n'.join(advice(config_of(), Forecast(1.0, 2.0, 8, 10), memory=0.5))
    assert lines.startswith('data is the bottleneck')
    for words in ('num_workers=1 or more: there are 16 cores', 'transcode.py', 'data.clips_per_video=2'):
        assert words in lines
    assert 'memory' not in lines
    all_busy = config_of(train_dataloader=dict(batch_size=8, num_workers=16))
    assert 'num_workers' not in '\n'.join(advice(all_busy, Forecast(1.0, 2.0, 8, 10), memory=0.5))


def test_short_memory_is_named_with_what_is_not_yet_done() -> None:
    lines = '\n'.join(advice(config_of(), Forecast(1.0, 1.0, 8, 10), memory=0.95))
    assert lines.startswith('memory is short')
    for words in ('with_cp=True', 'batch_size=4: accumulation makes up for it', '--amp', 'parallel=fsdp'):
        assert words in lines
    done = config_of(
        train_dataloader=dict(batch_size=1),
        model=dict(backbone=dict(with_cp=True)),
        optim_wrapper=dict(type='Bf16OptimWrapper'),
        parallel='fsdp',
    )
    assert list(memory_advice(done)) == ['memory is short; what helps:']
