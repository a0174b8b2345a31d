"""Define the exit codes of a run that a signal ends."""

import signal

#: 75 wants to be started again with ``--resume``
EXIT_CODES = {signal.SIGTERM: 75, signal.SIGUSR1: 75, signal.SIGINT: 130}
