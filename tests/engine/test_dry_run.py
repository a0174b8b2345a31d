"""What a dry run foretells and advises."""

import multiprocessing
import time
from datetime import timedelta

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch.utils.data import DataLoader

from mmtsf.engine import dry_run
from mmtsf.engine.dry_run import Forecast, advice, forecast_of, is_out_of_memory, memory_advice, pace_of
from mmtsf.engine.profiling import Iterations, resident_memory, worker_memory


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
    monkeypatch.setattr(dry_run, 'num_cores', lambda: 16)
    lines = '\n'.join(advice(config_of(), Forecast(1.0, 2.0, 8, 10), memory=0.5))
    assert lines.startswith('data is the bottleneck')
    for words in ('num_workers=1 or more: there are 16 cores', 'mmtsf transcode', 'data.clips_per_video=2'):
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


def test_too_large_a_tensor_is_short_memory_and_another_error_is_not() -> None:
    for too_much in (lambda: torch.empty(10**15), lambda: np.ones(10**15)):
        with pytest.raises((RuntimeError, MemoryError)) as error:
            too_much()
        assert is_out_of_memory(error.value)
    assert is_out_of_memory(torch.OutOfMemoryError('CUDA out of memory'))
    assert not is_out_of_memory(RuntimeError('mat1 and mat2 shapes cannot be multiplied'))


def test_short_memory_of_a_cpu_ends_a_dry_run_with_advice(monkeypatch) -> None:
    config = config_of(
        train_cfg=dict(max_epochs=1), default_hooks=dict(), optim_wrapper=dict(type='OptimWrapper'), log_level='INFO'
    )
    monkeypatch.setattr(dry_run.Runner, 'from_cfg', lambda _: torch.empty(10**15))
    with pytest.raises(SystemExit, match='(?s)allocate memory.*memory is short; what helps:.*with_cp=True'):
        list(dry_run.dry_run(config))
    monkeypatch.setattr(dry_run.Runner, 'from_cfg', lambda _: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match='inconsistent tensor size'):
        list(dry_run.dry_run(config))


@pytest.mark.parametrize('loop', [dict(type='IterBasedTrainLoop', max_iters=10), None])
def test_a_training_without_epochs_is_named(loop) -> None:
    with pytest.raises(ValueError, match='but --dry-run needs max_epochs; name a loop over epochs'):
        list(dry_run.dry_run(config_of(train_cfg=loop)))


def test_a_limit_below_the_machines_memory_is_the_memory(monkeypatch) -> None:
    machine = dry_run.total_memory('main process')
    assert 100 < resident_memory() < machine
    monkeypatch.setattr(dry_run, 'memory_limits', lambda: iter([2**63, 50 * 10**6]))
    assert dry_run.total_memory('main process') == 50


def test_of_what_processes_share_each_has_its_part_alone() -> None:
    held = np.ones(400 * 10**6 // 8)
    fork = multiprocessing.get_context('fork')
    sleepers = [fork.Process(target=time.sleep, args=(60,)) for _ in range(2)]
    for sleeper in sleepers:
        sleeper.start()
    try:
        parts = list(worker_memory())
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.join()
    whole = resident_memory()  # which has three owners
    assert len(parts) == 2
    assert held.any()
    assert all(whole / 4 < part < whole / 2 for part in parts)
