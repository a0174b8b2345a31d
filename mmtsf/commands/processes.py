"""Let one process speak where a launcher has started several."""

import os
import signal
import sys
import time

#: Variables in which torchrun and Slurm tell the number of a process, of all and of those of its machine
NUMBERS, LOCAL_NUMBERS = ('RANK', 'SLURM_PROCID'), ('LOCAL_RANK', 'SLURM_LOCALID')
#: Seconds in which the launcher ends a process after another one has failed
PATIENCE = 5


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


def _number(names: tuple[str, ...]) -> int:
    return int(next((os.environ[name] for name in names if name in os.environ), 0))
