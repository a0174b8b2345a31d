"""Run the commands of the package: ``mmtsf train ...``, and the same as ``tools/train.py ...``.

A command is a module of this package with ``add_arguments(parser)``, ``check(args)``, which raises what can be told at
once, and ``run(args)``, which returns an exit code or None. The module imports nothing that takes time: ``run`` does.
"""

import argparse
import difflib
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from mmtsf import __version__
from mmtsf.utils.arguments import new_parser
from mmtsf.utils.mistakes import mistake
from mmtsf.utils.screen import log_error, silence
from mmtsf.utils.signals import TOLD, exit_code, sigterm_as_ctrl_c

from .processes import in_a_child, is_first, speaks

#: Commands in the order of use, and what they are for
COMMANDS = {
    'quickstart': 'train, test and draw within ten minutes',
    'motion': 'write a small data set of generated videos',
    'prepare': 'write the lists of a data set of the paper',
    'check': 'find videos that cannot be read',
    'transcode': 'rewrite videos so that they decode faster',
    'config': 'print a config, and where each value comes from',
    'browse': 'draw the clips that a config makes of its data',
    'train': 'train a model',
    'sweep': 'search for the words of a config that train best',
    'test': 'test a model',
    'report': 'write a page about a test',
    'predict': 'classify videos',
    'attention': 'draw where a model looks in a video',
    'features': 'write features of videos to a file',
    'demo': 'serve a web page that classifies videos',
    'convert': 'convert weights between formats',
    'export': 'write a model as ONNX or for torch.export',
    'flops': 'count parameters and multiply-accumulates',
    'speed': 'measure the time of testing many videos',
}
USAGE = 2  # exit code of a mistake, as of argparse


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that the first word names, and exit."""
    name, *words = (sys.argv[1:] if argv is None else list(argv)) or ['--help']
    if name in ('-h', '--help'):
        print(
            'usage: mmtsf COMMAND ...\n\nTimeSformer: train, test and use it. mmtsf COMMAND --help has the options.\n'
        )
        print('\n'.join(f'  {command:11}{words}' for command, words in COMMANDS.items()))
        sys.exit()
    if name == '--version':
        print(f'mmtsf {__version__}')
        sys.exit()
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        meant = f'did you mean {near[0]!r}?' if near else f'there are {", ".join(COMMANDS)}'
        print(f'mmtsf: error: there is no command {name!r}; {meant}', file=sys.stderr)
        sys.exit(USAGE)
    run(name, words, f'mmtsf {name}')


def run(name: str, argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run a command, and exit: with its code, or with 2 and one line where the user made a mistake.

    Args:
        name (str): One of :data:`COMMANDS`.
        argv (Sequence[str], optional): Its words. Defaults to None: those of the process.
        prog (str, optional): What error messages begin with. Defaults to None: the name of the script.
    """
    command, parser = new_command(name, prog)
    if not all(word.strip() for word in (sys.argv[1:] if argv is None else argv)):
        parser.error('an argument is empty, expected a word; a variable of the shell may be unset')
    args = parser.parse_intermixed_args(argv)  # options may stand between arguments of which one is left out
    silence(is_first())
    say_end = (lambda: None) if argv is not None and list(argv) != sys.argv[2:] else in_a_child(args, parser.prog)
    try:
        with sigterm_as_ctrl_c():
            command.check(args)
            code = command.run(args)
    except KeyboardInterrupt as error:
        code = exit_code(error)
        if not hasattr(error, TOLD):
            print(f'{parser.prog}: interrupted', file=sys.stderr)
    except BrokenPipeError:  # whoever read the output has gone; nothing is left to be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except Exception as error:
        code = tell(error, parser.prog, args.traceback)
    finally:
        say_end()
    sys.exit(code)


def tell(error: Exception, prog: str, shows: bool = False) -> int:
    """Print why a command failed, once for all its processes, with its traceback in the log file; the exit code."""
    line, whole = mistake(error), ''.join(traceback.format_exception(error))
    if speaks():
        log_error(whole)
        print(whole if shows or line is None else f'{prog}: error: {line}', file=sys.stderr, flush=True)
    return 1 if line is None else USAGE


def new_command(name: str, prog: str | None = None) -> tuple[ModuleType, argparse.ArgumentParser]:
    """Import a command, and make its parser."""
    command = import_module(f'.{name}', __package__)
    parser = new_parser(command.__doc__)
    parser.prog = prog or parser.prog
    command.add_arguments(parser)
    shows = bool(os.environ.get('MMTSF_TRACEBACK'))
    words = 'show where an error comes from; so does MMTSF_TRACEBACK=1'
    parser.add_argument('--traceback', action='store_true', default=shows, help=words)
    return command, parser
