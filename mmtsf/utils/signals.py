"""Define what signals do to a command, and the exit codes that it then has."""

import ctypes
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

#: 75 wants to be started again with ``--resume``
EXIT_CODES = {signal.SIGTERM: 75, signal.SIGUSR1: 75, signal.SIGINT: 130}
#: Attribute of an interruption that was told already, in better words than those for all
TOLD = 'told'


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM interrupt what runs inside as Ctrl-C does; the exception holds the signal's number."""
    if threading.current_thread() is not threading.main_thread():  # which alone can take signals
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until what is done inside is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    before = {
        number: signal.signal(number, lambda came, _: waiting.append(came))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
    for came in waiting:
        signal.raise_signal(came)


def end_with_parent(number: int) -> None:
    """Have a child of this process, in which this is called, get a signal when its parent is gone, however it went."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(1, int(number))  # PR_SET_PDEATHSIG


def exit_code(error: KeyboardInterrupt) -> int:
    """Return the exit code of a command that a signal has interrupted, as shells have it."""
    return 128 + int(next(iter(error.args), signal.SIGINT))


def _interrupt(number: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt(number)
