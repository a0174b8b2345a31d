#!/usr/bin/env python
"""Run torchrun, forward signals to the training processes, and exit with their exit code.

tools/dist_train.sh uses it. torchrun itself ends its processes 30 seconds after a signal, and leaves with 1 whatever
they leave with.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

from mmtsf.utils.arguments import check_exists, mistakes_of, new_parser
from mmtsf.utils.signals import EXIT_CODES

#: torchrun's options that can be given
OPTIONS = (
    'nnodes nproc-per-node node-rank max-restarts master-addr master-port rdzv-backend rdzv-endpoint rdzv-id local-addr'
)


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    for name in OPTIONS.split():
        parser.add_argument(f'--{name}', help='as of torchrun', metavar='WORD')
    parser.add_argument('script', help='tool to run in each process')
    parser.add_argument('words', nargs=argparse.REMAINDER, help='its arguments')
    args = parser.parse_args()
    with mistakes_of(parser):
        check_exists(args.script, 'the tool to run')
    return args


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

from torch.distributed import DistNetworkError, run
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

#: Loggers of PyTorch that tell what this tool tells, or the process that failed: which one was ended and with what
#: code, and that each has one thread
TOLD_HERE = ('torch.distributed.elastic.multiprocessing.api', 'torch.distributed.run')


def main() -> None:
    for name in TOLD_HERE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ['MMTSF_LAUNCH'] = uuid.uuid4().hex  # processes that are started again know their own checkpoints by it
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, leave)
    try:
        run.main(['--signals-to-handle=SIGHUP,SIGQUIT', *sys.argv[1:]])
    except ChildFailedError as error:
        codes = {failure.exitcode for failure in error.failures.values()}
        if left := codes & set(EXIT_CODES.values()):
            sys.exit(max(left))
        sys.exit(code_of(error))
    except DistNetworkError as error:
        told = str(error)
        if 'EADDRINUSE' not in told:
            raise
        print('torchrun: error: the port is in use by another run; give another: PORT=29501', file=sys.stderr)
        sys.exit(2)


def code_of(error: ChildFailedError) -> int:
    """Return the code of the first process that failed, which has told why; unless a signal has ended it."""
    rank, failure = error.get_first_failure()
    if failure.exitcode >= 0:
        return failure.exitcode
    name = signal.Signals(-failure.exitcode).name
    hint = ', as the kernel does when memory is short' if name == 'SIGKILL' else ''
    print(f'torchrun: error: process {rank} was ended by {name}{hint}', file=sys.stderr)
    return 1


def leave(number: int, frame: Any) -> None:
    """Forward a signal, wait for the processes and exit with their code; the next signal interrupts at once."""
    for other in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(other, signal.SIG_DFL)
    processes = children()
    for process in processes:
        os.kill(process, number)
    codes = [exit_code(process) for process in processes] or [128 + number]
    sys.exit(max(set(codes) & set(EXIT_CODES.values()) or codes))


def children() -> list[int]:
    """Return the process ids of the training processes."""
    found = Path(f'/proc/self/task/{threading.get_native_id()}/children').read_text().split()
    return [int(process) for process in found]


def exit_code(process: int) -> int:
    """Wait for a process and return its exit code; 128 + number if a signal ended it."""
    ended = os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    return ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status


if __name__ == '__main__':
    main()
