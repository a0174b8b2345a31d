"""Fork children that run Python tools from one process that has imported the heavy packages already.

``python fork_server.py SOCKET`` serves until its standard input is closed. A request holds the words after ``python``,
the folder and the environment, and brings the three standard streams along; the answers are the child's process id and,
later, its exit status. Each child imports mmtsf itself, so a module that a tool forgets to import is still missed.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import sys
import tempfile
import threading
import types
from typing import NoReturn

#: What tools spend their first seconds with; nothing of mmtsf
HEAVY = (
    'torch torch._dynamo torch.distributed.run torch.distributed.fsdp torch.utils.cpp_extension torch.utils.data '
    'torch.utils.tensorboard '
    'mmengine.runner mmengine.hooks mmengine.dataset mmengine.analysis mmcv.transforms mmaction.apis mmaction.models '
    'mmaction.datasets mmaction.engine mmaction.evaluation mmaction.visualization matplotlib.backends.backend_agg '
    'matplotlib.pyplot av einops._torch_specific rich.progress safetensors.torch PIL.GifImagePlugin PIL.ImageDraw '
    'PIL.JpegImagePlugin pebble tenacity torch.utils.serialization upath yaml'
)
MOST_BYTES = 2**20  # of a request


def main() -> None:
    import_heavy()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1] + '.new')
    listener.listen()
    os.rename(sys.argv[1] + '.new', sys.argv[1])  # so that whoever sees it can connect
    children: dict[int, socket.socket] = {}
    ended, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready = select.select([sys.stdin, listener, ended, *children.values()], [], [])[0]
        if sys.stdin in ready:
            os._exit(0)
        if listener in ready:
            serve(listener, children)
        if ended in ready:
            os.read(ended, 100)
        for process, connection in list(children.items()):
            if connection in ready:  # whoever asked has gone
                os.kill(process, signal.SIGKILL)
            reap(process, children)


def import_heavy() -> None:
    """Import what can be found, without leaving a thread that a fork would lose."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for name in HEAVY.split():
            try:
                importlib.import_module(name)
            except ImportError:
                print(f'{name} is not imported', file=sys.stderr)
    fill_caches()
    assert len(os.listdir('/proc/self/task')) == 1
    leave_unformatted()
    gc.freeze()  # or each child would look through all of it, and copy it


def fill_caches() -> None:
    """Do once what takes long the first time: draw a picture, for which fonts are looked for and read, and look up in
    which file a module lies, as each operator that PyTorch is given does."""
    import inspect
    import io

    from matplotlib import pyplot

    inspect.getmodule(inspect.currentframe())
    figure, axes = pyplot.subplots(layout='constrained')
    axes.imshow([[0.0, 1.0]])
    axes.set(title='0.5%', xlabel='x', ylabel='y')
    axes.plot([0, 1], label='line')
    axes.legend()
    figure.savefig(io.BytesIO(), format='png')
    pyplot.close(figure)


def leave_unformatted() -> None:
    """Let MMEngine write configs as they are in this process and its children.

    A training has yapf format seven texts, which takes half of a short one; tools that are started anew do so.
    """
    importlib.import_module('mmengine.config.config').FormatCode = lambda text, **how: (text, True)


def reap(process: int, children: dict[int, socket.socket]) -> None:
    """Tell whoever asked how a child has ended, if it has."""
    ended, status = os.waitpid(process, os.WNOHANG)
    if ended:
        with children.pop(process) as connection, contextlib.suppress(OSError):
            connection.sendall(b'%d\n' % status)


def serve(listener: socket.socket, children: dict[int, socket.socket]) -> None:
    """Fork a child for one request."""
    connection = listener.accept()[0]
    request, streams, _, _ = socket.recv_fds(connection, MOST_BYTES, 3)
    while not request.endswith(b'\n'):
        request += connection.recv(MOST_BYTES)
    process = os.fork()
    if process == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for inherited in (listener, connection, *children.values()):
            inherited.close()
        become(streams, **json.loads(request))
    for stream in streams:
        os.close(stream)
    connection.sendall(b'%d\n' % process)
    children[process] = connection


def become(streams: list[int], words: list[str], folder: str, environment: dict[str, str], group: bool) -> NoReturn:
    """Run ``python WORDS`` in this process, as if it had just begun."""
    if group:
        os.setpgid(0, 0)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.path[1:1] = filter(None, environment.get('PYTHONPATH', '').split(os.pathsep))
    reseed()
    sys.executable = environment.get('PYTHON', sys.executable)  # so that what the tool starts is warm, too
    try:
        run([word for word in words if word != '-u'], folder)
    except BaseException as error:
        leave(error)
    leave(SystemExit())


def run(words: list[str], folder: str) -> None:
    """Run ``python WORDS``."""
    if words[0] == '-c':
        sys.argv, sys.path[0] = ['-c', *words[2:]], folder
        sys.modules['__main__'] = types.ModuleType('__main__')
        exec(compile(words[1], '<string>', 'exec'), vars(sys.modules['__main__']))
    elif words[0] == '-m':
        sys.argv, sys.path[0] = words[1:], folder
        runpy.run_module(words[1], run_name='__main__', alter_sys=True)
    else:
        sys.argv, sys.path[0] = words, os.path.dirname(os.path.abspath(words[0]))
        runpy.run_path(words[0], run_name='__main__')


def leave(error: BaseException) -> NoReturn:
    """End as Python does, but leave the memory to the system: clearing all modules takes 0.4 s."""
    code = error.code if isinstance(error, SystemExit) else 1
    if not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
    elif code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if isinstance(error, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit((code or 0) & 0xFF)


def reseed() -> None:
    """Take back what an import has read of the environment, and what each process draws for itself."""
    import numpy as np
    import torch

    random.seed()
    np.random.seed()
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', len(os.sched_getaffinity(0)))))


if __name__ == '__main__':
    main()
