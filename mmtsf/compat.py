"""Reach what other packages keep private, in this one place.

Each function says why it is needed and in which versions it was seen to work; ``tests/test_compat.py`` fails when a
name is gone, or no longer needed.
"""

import signal
from multiprocessing.process import BaseProcess
from typing import Any

from torch.utils.data._utils import signal_handling


def data_workers(iterator: Any) -> list[BaseProcess]:
    """Worker processes of a data loader's iterator; none of one without workers.

    PyTorch tells the state of no worker that it has lost: a loader that is to go on must find out by itself which one
    is dead, and at which video. Seen in PyTorch 2.13.0.
    """
    return getattr(iterator, '_workers', [])


def end_data_workers(iterator: Any) -> None:
    """Kill the workers of a data loader's iterator, whatever they do, and free what belongs to them.

    PyTorch ends workers by asking them, which one that hangs does not hear. Seen in PyTorch 2.13.0.
    """
    for worker in data_workers(iterator):
        worker.kill()
    if data_workers(iterator):
        iterator._shutdown_workers()


def ignore_dead_children() -> None:
    """Let a worker's death be found where its batch is waited for, not raised in the middle of anything else.

    PyTorch sets a handler of SIGCHLD that raises, once, when the first iterator with workers is made: so it is made to
    set it now, before it is taken away. Seen in PyTorch 2.13.0.
    """
    signal_handling._set_SIGCHLD_handler()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
