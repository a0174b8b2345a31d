"""What a data loader is asked for takes effect or is refused, and where no batch can come it says so."""

import logging
import multiprocessing
import subprocess
import sys
import time
from typing import Any

import pytest
from runs import run_tool
from torch.utils.data import DataLoader, Dataset

from mmtsf.datasets import SeededSampler
from mmtsf.datasets.loading import VideoLoader, WorkerTable
from mmtsf.engine.runner import Runner

any_workers = pytest.mark.parametrize('num_workers', [0, 2])


class Numbers(Dataset):
    """Numbers whose workers are watched; some take seconds."""

    time_limit = 60

    def __init__(self, seconds: dict = {}) -> None:  # noqa: B006  # is not changed
        self.worker_table = WorkerTable()
        self.seconds = seconds

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> int:
        time.sleep(self.seconds.get(index, 0))
        return index


class AsTheyAre(Dataset):
    """Indices themselves."""

    def __getitem__(self, index: Any) -> Any:
        return index

    def __len__(self) -> int:
        return 2


def numbers(batches: Any) -> list[int]:
    return [int(number) for batch in batches for number in batch]


@any_workers
def test_an_iteration_within_another_one_takes_its_place_and_no_batch_comes_twice(num_workers):
    loader = VideoLoader(Numbers(), 2, num_workers=num_workers)
    first = iter(loader)
    assert numbers([next(first), next(first)]) == [0, 1, 2, 3]
    second = iter(loader)
    assert numbers([next(second)]) == [0, 1]
    with pytest.raises(RuntimeError, match='another iteration over this data loader .* build a second loader'):
        next(first)
    assert numbers(second) == list(range(2, 12))
    assert numbers(loader) == list(range(12))


def test_a_timeout_of_the_user_ends_the_waiting():
    loader = VideoLoader(Numbers({5: 30}), 2, num_workers=1, timeout=2)
    start, batches = time.monotonic(), iter(loader)
    assert numbers([next(batches), next(batches)]) == [0, 1, 2, 3]
    with pytest.raises(RuntimeError, match='no batch came within timeout=2 s'):
        next(batches)
    assert 2 <= time.monotonic() - start < 20
    assert numbers(VideoLoader(Numbers({5: 1}), 2, num_workers=1, timeout=20)) == list(range(12))


def test_batches_out_of_their_order_are_refused():
    for make in (VideoLoader, lambda *given, **more: VideoLoader.of(DataLoader(*given, **more))):
        with pytest.raises(ValueError, match='in_order is False, expected True'):
            make(Numbers(), 2, num_workers=1, in_order=False)


@pytest.mark.parametrize('keeps', [True, False, None])
def test_workers_live_on_unless_a_config_says_that_they_do_not(keeps):
    config = dict(dataset=Numbers(), batch_size=2, sampler=dict(type='SeededSampler', shuffle=False), num_workers=1)
    config |= dict(collate_fn=dict(type='default_collate'), pin_memory=False)
    given = {} if keeps is None else dict(persistent_workers=keeps)
    direct = VideoLoader(Numbers(), 2, sampler=SeededSampler(Numbers(), shuffle=False), num_workers=1, **given)
    for loader in (Runner.build_dataloader(config | given, seed=0), direct):
        before = set(multiprocessing.active_children())
        workers = []
        for _ in range(2):
            batches = iter(loader)
            got = numbers([next(batches)])
            workers.append({worker.pid for worker in set(multiprocessing.active_children()) - before})
            assert got + numbers(batches) == list(range(12))
        assert (workers[0] == workers[1]) is (keeps is not False)
        assert not keeps or workers[1]


@pytest.mark.parametrize('indices', [[(0, 1), (1, 2)], ['a', 'b'], [0, 1]])
def test_a_data_set_gets_the_indices_of_its_sampler_whatever_they_are(indices):
    [got] = VideoLoader(AsTheyAre(), batch_sampler=[indices], collate_fn=list)
    assert got == indices


def test_the_index_of_a_seeded_sampler_is_a_plain_number():
    loader = VideoLoader(AsTheyAre(), 2, sampler=SeededSampler(AsTheyAre(), shuffle=False), collate_fn=list)
    assert [type(index) for index in next(iter(loader))] == [int, int]


#: The thread that pins takes a batch apart that fails there; of a GPU, it needs what PyTorch asks one for
PINNED = """
import threading
import torch
from torch.utils.data import Dataset
from mmtsf.datasets.loading import VideoLoader, WorkerTable
if not torch.accelerator.is_available():
    torch.accelerator.is_available = lambda *_, **__: True
    torch.accelerator.current_accelerator = lambda *_, **__: torch.device('cpu')
    torch.accelerator.current_device_index = lambda: 0
    torch.accelerator.set_device_index = lambda _: None
    torch.Tensor.pin_memory = lambda tensor, *_: tensor
class Numbers(Dataset):
    worker_table, time_limit = WorkerTable(), 60
    def __len__(self):
        return 40
    def __getitem__(self, index):
        return index
class Number:
    def __init__(self, number):
        self.number = number
    def __reduce__(self):
        return unpickled, (self.number,)
def unpickled(number):
    if number == 5 and threading.current_thread() is not threading.main_thread():
        raise OSError(24, 'Too many open files')
    return number
def collate(batch):
    return [Number(batch[0]), torch.tensor(batch)]
got = []
try:
    for number, _ in VideoLoader(Numbers(), 1, num_workers=2, pin_memory=True, collate_fn=collate):
        got.append(number)
except RuntimeError as error:
    print(got, error)
"""


def test_the_death_of_the_thread_that_pins_batches_is_an_error():
    printed = run_tool('-c', PINNED)
    assert '[0, 1, 2, 3, 4] the thread of PyTorch that pins batches has ended' in printed
    assert 'ulimit -n' in printed
    assert 'Too many open files' in printed


#: A loader in a circle of garbage, and in a name, when the interpreter exits
EXITING = """
from torch.utils.data import Dataset
from mmtsf.datasets.loading import VideoLoader, WorkerTable
class Numbers(Dataset):
    worker_table, time_limit = WorkerTable(), 60
    def __len__(self):
        return 40
    def __getitem__(self, index):
        return index
loader, other = VideoLoader(Numbers(), 2, num_workers=1), VideoLoader(Numbers(), 2, num_workers=1)
loader.itself = loader
loader.batches, batches = iter(loader), iter(other)
next(loader.batches), next(batches)
"""


def test_a_loader_that_is_left_at_the_end_of_a_program_says_nothing():
    start = time.monotonic()
    run = subprocess.run([sys.executable, '-c', EXITING], capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout, run.stderr) == (0, '', '')
    assert time.monotonic() - start < 60


def test_nothing_is_logged_of_slow_batches(caplog):
    with caplog.at_level(logging.WARNING):
        assert numbers(VideoLoader(Numbers({5: 2}), 2, num_workers=1)) == list(range(12))
    assert not caplog.records
