"""Let one process speak where a launcher has started several."""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from mmtsf.utils.signals import end_with_parent

#: Variables in which torchrun and Slurm tell the number of a process, of all and of those of its machine
NUMBERS, LOCAL_NUMBERS = ('RANK', 'SLURM_PROCID'), ('LOCAL_RANK', 'SLURM_LOCALID')
#: Seconds in which the launcher ends a process after another one has failed
PATIENCE = 5
#: Exit code where the cluster is gone
GONE = 3


def is_first() -> bool:
    """Return whether this is the first process, or the only one."""
    return _number(NUMBERS) == 0


def speaks() -> bool:
    """Return whether this process, which has failed, tells why: the first that fails, of those that have met.

    Before they meet it is the first of each machine; another one tells what it alone has met, if it is not ended.
    """
    distributed = sys.modules.get('torch.distributed')
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        from mmtsf import compat

        try:
            number = compat.number_of_failures()
        except RuntimeError:  # the process that counts has ended
            number = 1
    else:
        number = _number(LOCAL_NUMBERS) + 1
    if number > 1:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(PATIENCE)
    return number == 1 or not (distributed and distributed.is_initialized())


def in_a_child(args: argparse.Namespace, prog: str) -> Callable[[], None]:
    """Go on in a child where Ray does the work, which ends its process without a word where the cluster is gone: the
    parent waits, passes signals on, and says what has happened.

    Returns:
        Callable: To be called in the child, the only one to return, before it ends by itself.
    """
    if getattr(args, 'engine', None) != 'ray' or sys.platform != 'linux' or threading.active_count() > 1:
        return lambda: None
    sys.stdout.flush()
    sys.stderr.flush()
    reads, writes = os.pipe()
    parent, child = os.getpid(), os.fork()
    if not child:
        os.setpgid(0, 0)  # signals of the terminal come from the parent, once
        end_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)
        os.close(reads)

        def say_end() -> None:
            os.write(writes, b'.')

        return say_end
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(child, number))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.set_blocking(reads, False)  # a process that the child has left may hold the other end
    try:
        has_ended = os.read(reads, 1) == b'.'
    except BlockingIOError:
        has_ended = False
    if not has_ended:
        where = f'at {args.address}' if args.address else 'of this command'
        told = (
            f'it was killed by signal {-code}'
            if code < 0
            else f'the Ray cluster {where} is gone, or this machine of it'
        )
        print(f'{prog}: error: {told}; the same command goes on', file=sys.stderr, flush=True)
        code = code if code < 0 else GONE
    sys.exit(128 - code if code < 0 else code)


def _number(names: tuple[str, ...]) -> int:
    return int(next((os.environ[name] for name in names if name in os.environ), 0))
