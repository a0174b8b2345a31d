"""Each private name of another package is there, does what it is used for, and is still needed."""

import subprocess
import sys
import time

import pytest
from runs import ROOT
from torch.utils.data import DataLoader

from mmtsf import compat

#: A worker is killed while the main process does something else
KILLED_WORKER = """
import time
from torch.utils.data import DataLoader
from mmtsf import compat
if {ignored}:
    compat.ignore_dead_children()
iterator = iter(DataLoader(range(100), num_workers=1))
compat.data_workers(iterator)[0].kill()
try:
    time.sleep(1)
    print('nothing was raised')
except RuntimeError as error:
    print('raised', error)
"""


def test_workers_of_a_data_loader_are_found_and_ended():
    compat.ignore_dead_children()
    iterator = iter(DataLoader(range(100), num_workers=2))
    workers = compat.data_workers(iterator)
    assert [worker.is_alive() for worker in workers] == [True, True]
    compat.end_data_workers(iterator)
    deadline = time.monotonic() + 10
    while any(worker.is_alive() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [worker.is_alive() for worker in workers] == [False, False]
    assert compat.data_workers(iter(DataLoader(range(100)))) == []


@pytest.mark.parametrize(('ignored', 'words'), [(False, 'raised DataLoader worker'), (True, 'nothing was raised')])
def test_pytorch_raises_a_workers_death_anywhere_unless_it_is_kept_from_that(ignored, words):
    script = KILLED_WORKER.format(ignored=ignored)
    result = subprocess.run([sys.executable, '-c', script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.stdout.startswith(words), result.stderr[-2000:]
