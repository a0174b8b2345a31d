"""Start Python tools in milliseconds: as children of the process of ``fork_server.py``.

``python warm.py SOCKET WORDS`` stands for ``python WORDS`` where a shell script or torchrun starts Python by its name.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import IO

SOCKET = 'MMTSF_WARM_SOCKET'  #: Variable with the socket of the server that pytest's workers share


class Child:
    """A tool that runs.

    Args:
        server (str): Socket of the server.
        words (list[str]): What would stand behind ``python``.
        folder (str): Folder to run in.
        environment (dict[str, str]): Its whole environment.
        streams (list[int]): Descriptors of its three standard streams.
        group (bool): Whether it leads a process group of its own. Defaults to False.
    """

    def __init__(
        self, server: str, words: list[str], folder: str, environment: dict, streams: list[int], group: bool = False
    ) -> None:
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(server)
        asked = dict(words=words, folder=folder, environment=environment, group=group)
        request = json.dumps(asked).encode() + b'\n'
        sent = socket.send_fds(self.connection, [request], streams)
        self.connection.sendall(request[sent:])
        self.answers = self.connection.makefile('rb')
        self.pid = int(self.answers.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        ended = self.returncode is not None or select.select([self.connection], [], [], 0)[0]
        return self.wait() if ended else None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, or minus the signal that ended it; a child that takes longer is killed.

        Raises:
            subprocess.TimeoutExpired: If it takes longer than so many seconds.
        """
        if self.returncode is None:
            self.connection.settimeout(timeout)
            try:
                self.returncode = os.waitstatus_to_exitcode(int(self.answers.readline()))
            except TimeoutError:
                os.kill(self.pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(f'process {self.pid}', timeout or 0) from None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)


@cache
def server() -> str:
    """Socket of the server: of all workers of pytest or, where none has been begun for them, of this process alone."""
    path, end = Path(os.environ.get(SOCKET) or begin()), time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < end, 'the warm process has not come up'
        time.sleep(0.01)
    return str(path)


@cache
def begin() -> str:
    """Start a server that ends with this process, without waiting for it; returns what will be its socket."""
    import tempfile

    folder = tempfile.TemporaryDirectory(prefix='mmtsf-warm-')
    atexit.register(folder.cleanup)
    path = Path(folder.name, 'socket')
    python = path.with_name('python')
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {__file__} {path} "$@"\n')
    python.chmod(0o755)
    command = [sys.executable, Path(__file__).with_name('fork_server.py'), path]
    environment = dict(os.environ, OMP_NUM_THREADS='1', MPLBACKEND='Agg')
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    assert process.stdin
    atexit.register(process.stdin.close)
    return str(path)


def start(words: list[str], folder: Path, environment: dict[str, str], output: IO, group: bool = False) -> Child:
    """Begin to run ``python WORDS``, with its output in a file, perhaps in a process group of its own."""
    with open(os.devnull) as nothing:
        streams = [nothing.fileno(), output.fileno(), output.fileno()]
        return Child(server(), words, str(folder), environment, streams, group)


def python() -> str:
    """A command that takes the words of ``python``, for scripts that start it themselves."""
    return str(Path(server()).with_name('python'))


def main() -> None:
    """Stand for a child: hand signals on, and end as it ends."""
    child = Child(sys.argv[1], sys.argv[2:], os.getcwd(), dict(os.environ), [0, 1, 2])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda number, _: os.kill(child.pid, number))
    code = child.wait()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == '__main__':
    main()
