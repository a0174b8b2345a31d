"""Show on the screen what a person wants to see of a run; the log file has everything."""

import logging
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

#: How messages begin that the user cannot act on, and whose fault they are
SILENCED = {
    '"FileClient" will be deprecated': 'MMEngine calls it itself, for checkpoints and logs',
    '"HardDiskBackend" is the alias': 'MMEngine asks for it by that name, for checkpoints',
    'Setting OMP_NUM_THREADS environment variable': 'MMEngine, about what it sets in each of several processes',
    'Setting MKL_NUM_THREADS environment variable': 'the same',
    'The `local_rank` parameter is deprecated': 'MMEngine, when it wraps a model for several processes',
}
#: Loggers whose warnings are about what no command of ours computes
SILENCED_LOGGERS = {'bitsandbytes.backends.cpu.ops': 'bitsandbytes, which MMEngine imports: of products of 4 bits'}
#: How a warning begins
WARNING = 'warning: '
#: Whether a command has been started in this process
_of_a_command = False
#: What a record carries that is for the screen as well
ON_SCREEN = dict(on_screen=True)


class Screen(logging.Handler):
    """Print warnings, errors, and what is marked with :data:`ON_SCREEN`; with the level DEBUG, everything.

    It prints to the standard output of the moment, above a progress bar where there is one.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record, if it is for the screen."""
        shown = getattr(record, 'on_screen', record.levelno >= logging.WARNING or self.level <= logging.DEBUG)
        text = record.getMessage()
        if not shown or text.startswith(tuple(SILENCED)):
            return
        try:
            warns = record.levelno >= logging.WARNING
            prefix = f'{record.levelname.lower()}: ' if warns and not text.startswith(WARNING) else ''
            print(f'{prefix}{text}'.rstrip('\n'), flush=True)
        except BrokenPipeError:
            raise
        except Exception:
            self.handleError(record)


def quieten(logger: logging.Logger) -> None:
    """Replace what a logger of MMEngine's prints by what a :class:`Screen` does."""
    for place, handler in enumerate(logger.handlers):
        if type(handler) is logging.StreamHandler:
            screen = Screen(handler.level)
            screen.filters = handler.filters
            logger.handlers[place] = screen


def quieten_commands() -> None:
    """Quieten MMEngine's logger where a command is running, whose screen it would fill; a run has one of its own."""
    logging_of = sys.modules.get('mmengine.logging')
    if _of_a_command and logging_of is not None:
        quieten(logging_of.MMLogger.get_current_instance())


def say(text: str) -> None:
    """Log a line that is for the screen as well."""
    from mmengine.logging import MMLogger  # which takes seconds

    MMLogger.get_current_instance().info(text, extra=ON_SCREEN)


def silence(is_first: bool = True) -> None:
    """Leave out, in a command, what MMEngine logs for a run's file, and warnings of :data:`SILENCED`
    and :data:`SILENCED_LOGGERS`.

    Other warnings are one line, of several processes the first's.

    Args:
        is_first (bool): Whether this process is the one that speaks. Defaults to True.
    """
    global _of_a_command
    _of_a_command = True
    quieten_commands()  # of a command in a process that has imported MMEngine; else mmtsf.registry asks for it
    warnings.formatwarning = _one_line  # type: ignore[assignment]
    for beginning in SILENCED:
        warnings.filterwarnings('ignore', beginning.replace('`', '.'))
    for name in SILENCED_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    if not is_first:
        warnings.simplefilter('ignore')


def _one_line(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> str:
    name = '' if category is UserWarning else f'{category.__name__}: '
    return f'{WARNING}{name}{" ".join(str(message).split())}\n'


def log_warnings(logger: logging.Logger) -> None:
    """Log Python's warnings from now on, beside showing them."""
    logging.captureWarnings(True)
    logging.getLogger('py.warnings').handlers = [*logger.handlers]


def log_error(text: str) -> None:
    """Write an error to the log file of the run, if there is one, and not to the screen."""
    logging_of = sys.modules.get('mmengine.logging')
    file = logging_of and logging_of.MMLogger.get_current_instance().log_file
    if file and Path(file).parent.is_dir():  # also of the first process, where this is another one
        with suppress(OSError), Path(file).open('a', encoding='utf-8', errors='backslashreplace') as log:
            log.write(f'{text}\n')
