"""Read a tool's command line and check its paths, before anything is imported that takes time."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from .data_root import OF_FOLDERS, OF_LISTS, check_root
from .files import check_folder
from .locations import OF_WEB, is_address, location, scheme_of
from .sources import check_list, config_beside, config_path, find_checkpoint
from .text import cleaned
from .vits import shipped_vits, vit_of

NUM_FRAMES = 8  # that a check of a video decodes, from the first to the last
#: A dict in Python's or JSON's spelling, with or without the quotation marks that a shell takes away
A_DICT = re.compile(r"""\bdict\(|(^|[\[(,])\s*\{\s*(['"}]|[a-z_]\w*\s*:)""")


class Parser(argparse.ArgumentParser):
    """Tell a mistake in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and a line."""
        self.exit(2, f'{self.prog}: error: {message} (see --help)\n')


def new_parser(text: str | None) -> argparse.ArgumentParser:
    """Make a parser that prints the tool's docstring unchanged."""
    return Parser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)


@contextmanager
def mistakes_of(parser: argparse.ArgumentParser) -> Iterator[None]:
    """Exit with code 2 and one line, without a traceback, if a check inside raises."""
    try:
        yield
    except (OSError, ValueError) as error:
        parser.exit(2, f'{parser.prog}: error: {error}\n')


def positive(kind: Callable, most: float = 1e9) -> Callable:
    """Parse a number above 0; infinity and what is no number are refused."""

    def convert(word: str) -> Any:
        value = kind(word)
        if not 0 < value <= most:
            raise ValueError(f'{word} is not above 0, or too large')
        return value

    convert.__name__ = f'{kind.__name__} above 0' + (f' and up to {most}' if most < 1e9 else '')
    return convert


def add_config(parser: argparse.ArgumentParser, nargs: str | None = None, more: str = '') -> None:
    """Add the argument ``config``."""
    words = "config file, or name of a shipped one, e.g. 'mmtsf::timesformer_base_k400.py'"
    parser.add_argument('config', nargs=nargs, help=words + more)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the arguments ``config``, which may be left out, and ``checkpoint``; :func:`check_model` checks them."""
    add_config(parser, '?', '; may be left out for a checkpoint in work_dirs/RUN')
    parser.add_argument('checkpoint', help='checkpoint of any known origin: a file, a URL or a published name')


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--device``; what names no kind of device is refused without PyTorch."""

    def device(word: str) -> str:
        if not re.fullmatch(r'(?!gpu)[a-z]\w*(:\d+)?', word):
            raise argparse.ArgumentTypeError(f'{word!r} is no device; expected cpu, cuda or cuda:NUMBER')
        return word

    words = 'e.g. cpu or cuda:1 (default: the GPU if there is one)'
    parser.add_argument('--device', type=device, help=words)


def add_options(parser: argparse.ArgumentParser, name: str = '--cfg-options', words: str | None = None) -> None:
    """Add an option that takes ``KEY=VALUE`` words; :func:`parsed` makes values of them."""
    words = words or 'changes to the config, e.g. data.root=/videos clip.num_frames=16'
    parser.add_argument(name, nargs='+', action=Options, default=[], metavar='KEY=VALUE', help=words)


class Options(argparse.Action):
    """Collect ``KEY=VALUE`` words of a repeated option."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, _: Any = None
    ) -> None:
        for word in values:
            if '=' not in word:
                parser.error(f'{self.option_strings[0]} is given {word!r}, expected KEY=VALUE')
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), *values])


def parsed(words: list[str]) -> dict[str, Any]:
    """Parse ``KEY=VALUE`` words as :class:`mmengine.DictAction` does.

    Raises:
        ValueError: If it cannot read one, or a value is a dict, which it has no word for.
    """
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser()
    parser.add_argument('words', nargs='*', action=DictAction, default={})
    values: dict[str, Any] = {}
    for name, value in (word.split('=', 1) for word in words):
        if A_DICT.search(value):
            raise ValueError(
                f'the option {name} is {cleaned(value)[:200]}, a dict; give its values one by one, {name}.KEY=VALUE, '
                'or write it in a config file'
            )
        try:
            values |= parser.parse_args(['--', f'{name}={value}']).words
        except (RecursionError, AssertionError):  # of a comma or a bracket within brackets that begin in mid-word
            raise ValueError(
                f'the option {name} is {cleaned(value)[:200]}, which is no value; expected a word, a number, or a list '
                'as [A,B] or (A,B)'
            ) from None
    return values


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that training and testing share."""
    parser.add_argument(
        '--work-dir', help='folder, or its address, for logs and results (default: work_dirs/NAME_OF_CONFIG)'
    )
    add_options(parser)
    parser.add_argument('--check', action='store_true', help=argparse.SUPPRESS)  # our shell scripts try it first
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help=argparse.SUPPRESS)
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of :func:`mmtsf.preparation.check_videos.check_all`."""
    decoders = names_in('mmtsf.datasets.decoders', 'DECODERS', ('auto', 'decord', 'pyav', 'torchcodec'))
    parser.add_argument('--decoder', choices=decoders, default='pyav')
    add_limits(parser)
    parser.add_argument('--full', action='store_true', help=f'decode every frame (default: {NUM_FRAMES} of a video)')
    add_engine(parser, '60, or 600 with --full')


def add_engine(parser: argparse.ArgumentParser, seconds: str) -> None:
    """Add the options of :func:`mmtsf.batch.engine.run`: ``--workers``, ``--time-limit``, ``--engine``, ``--address``.

    Args:
        parser (argparse.ArgumentParser): The command's.
        seconds (str): The time limit's default, in words.
    """
    words = 'videos at a time, each in a process of its own (default: one a CPU)'
    parser.add_argument('--workers', type=positive(int), help=words)
    words = f'seconds after which the reading of a video is given up (default: {seconds})'
    parser.add_argument('--time-limit', type=positive(float), help=words)
    words = 'where the work is done: on this machine, or by Ray, also on many (default: local)'
    parser.add_argument('--engine', choices=('local', 'ray'), default='local', help=words)
    words = (
        'the Ray cluster to join, HOST or HOST:PORT of its head, or auto for the one that this machine is in (default: '
        'local, Ray is started for the command on this machine)'
    )
    parser.add_argument('--address', metavar='HOST', help=words)


def check_alone() -> None:
    """Refuse to be one of several processes that a launcher has started, which would all do the same.

    Raises:
        ValueError: If this is one.
    """
    started = {name: os.environ[name] for name in ('WORLD_SIZE', 'SLURM_STEP_NUM_TASKS') if name in os.environ}
    if several := [f'{name} is {number}' for name, number in started.items() if number != '1']:
        raise ValueError(
            f'{several[0]}: torchrun or srun has started several processes, which would all do the same; start it '
            'once, with --engine ray for all GPUs and machines'
        )


def check_engine(args: argparse.Namespace) -> None:
    """Check that the engine is there.

    Raises:
        ValueError: If it is not installed, or an option has no meaning without it.
    """
    if args.engine == 'ray' and find_spec('ray') is None:
        raise ValueError("--engine is ray, and that is not installed; pip install 'mmtsf[ray]'")
    if args.address and args.engine != 'ray':
        raise ValueError(f'--address is {args.address}, the place of a Ray cluster; give --engine ray with it')
    cluster_address(args.address)


def cluster_address(text: str | None) -> str:
    """Return the address of a Ray cluster: ``local``, ``auto`` or ``HOST:PORT``.

    Raises:
        ValueError: If it is none of these.
    """
    if text is None or text in ('local', 'auto'):
        return text or 'local'
    host, _, port = text.rpartition(':') if ':' in text else (text, '', '6379')
    is_port = port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536
    if not is_port or not re.fullmatch(r'[\w.-]+|\[[0-9a-fA-F:.%]+\]', host):
        raise ValueError(
            f'--address is {text}, expected HOST or HOST:PORT of the head of a Ray cluster, as ray start --head prints '
            'it, auto or local; an address with :// is of a Ray client, with which Ray Data does not work'
        )
    return f'{host}:{port}'


def names_in(module: str, table: str, shipped: tuple[str, ...]) -> list[str]:
    """Return the names in a table: the shipped ones, and those that imported modules have added."""
    return list(getattr(sys.modules.get(module), table, shipped))


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add ``--limits``, arguments of :class:`mmtsf.datasets.decoders.Limits`."""
    words = 'sizes above which a video is refused, other than the default: frame_pixels, sample_pixels, frames'
    add_options(parser, '--limits', words)


def limits_of(words: list[str]) -> dict[str, int]:
    """Return the values of ``--limits``, without slow imports where there are none.

    Raises:
        ValueError: If there is no such limit, or it is no size.
    """
    if not words:
        return {}
    from mmtsf.datasets.decoders import Limits

    limits = parsed(words)
    if unknown := set(limits) - set(Limits.__dataclass_fields__):
        raise ValueError(f'--limits has {min(unknown)}, expected one of {", ".join(Limits.__dataclass_fields__)}')
    Limits(**limits)
    return limits


def check_model(args: argparse.Namespace) -> None:
    """Check that config and checkpoint exist or can be fetched; find the config if it is left out.

    Raises:
        FileNotFoundError: If one does not.
        ValueError: If one is something else.
    """
    if args.config is not None:
        config_path(args.config)
    find_checkpoint(args.checkpoint)
    if args.config is None:
        args.config = str(config_beside(args.checkpoint))
        print(f'config: {args.config}', file=sys.stderr)


def check_run(args: argparse.Namespace) -> None:
    """Check that the config exists, that the work dir can be made, and of a shipped config that there are data.

    Raises:
        OSError: If not.
        ValueError: If it cannot be told which data are meant.
    """
    config = config_path(args.config)
    if args.work_dir:
        check_folder(location(args.work_dir), '--work-dir')
    check_data_root(config, args.cfg_options)
    check_start(config, args.cfg_options)


def check_data_root(config: Path, options: list[str]) -> None:
    """Check the folder of data that a shipped config is given, as far as it can be told before the config is read.

    Raises:
        FileNotFoundError: If there are no data, see :func:`mmtsf.utils.data_root.check_root`.
        ValueError: If it cannot be told which data are meant.
    """
    words = dict(option.split('=', 1) for option in options)
    decide = {f'data.{word}' for word in ('source', *OF_LISTS, *OF_FOLDERS)}
    if 'data.root' in words and is_shipped(config) and not decide & set(words):
        with asked_briefly(words['data.root']):
            check_root(words['data.root'])


def check_start(config: Path, options: list[str]) -> None:
    """Check the weights and the architecture that options name, as far as it can be told before the config is read.

    Raises:
        FileNotFoundError: If there are no such weights.
        ValueError: If a shipped config has no such architecture, or the weights are of another one.
    """
    words = dict(option.split('=', 1) for option in options)
    start = words.get('start', 'None').strip('"\'')
    if start not in ('None', '') and '$' not in start:
        find_checkpoint(start)
    if 'vit' in words and is_shipped(config) and not any(name.startswith('vits.') for name in words):
        vit_of(words['vit'].strip('"\''), [start], shipped_vits())


def is_shipped(config: Path) -> bool:
    """Return whether a config is one of the package's."""
    return config.resolve().is_relative_to(config_path('mmtsf::_base_/default_runtime.py').resolve().parents[1])


def place(word: str) -> Any:
    """Parse the name of a file or folder, or its address."""
    try:
        return location(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def check_source(source: Any) -> None:
    """Check that a folder of videos or an annotation list exists, on the disk or at an address.

    Raises:
        FileNotFoundError: If it does not.
        ValueError: If it is a config or a checkpoint.
    """
    check_list(str(source))
    check_exists(source, 'a folder of videos or an annotation list')
    check_not_empty(source)


def check_root_of_list(root: Any) -> None:
    """Check that ``--root``, the folder that the paths of a list start from, is a folder, if it is given; on the web it
    is what addresses begin with, and need not be a page.

    Raises:
        NotADirectoryError: If it is none.
    """
    if not root or scheme_of(str(root)) in OF_WEB:
        return
    with asked_briefly(root):
        is_folder = root.is_dir()
    if not is_folder:
        raise NotADirectoryError(f'--root is {root}, which is no folder; give the one that the list starts from')


@contextmanager
def asked_briefly(path: Any) -> Iterator[None]:
    """Ask the server of an address inside only twice, as a person waits for the answer."""
    if not is_address(path):
        yield
        return
    from .remote_calls import few_attempts

    with few_attempts():
        yield


def check_not_empty(source: Any) -> None:
    """Check that a folder holds something.

    Raises:
        ValueError: If it is empty.
    """
    if not is_address(source) and os.path.isdir(source) and os.access(source, os.R_OK) and not os.listdir(source):
        raise ValueError(f'{source} is an empty folder; give one that holds videos')


def check_exists(path: Any, expected: str) -> None:
    """Check that a path exists.

    Args:
        path (str | Path): The path, or an address.
        expected (str): What to give, e.g. ``'a video or a folder of videos'``.

    Raises:
        FileNotFoundError: If it does not.
        OSError: If that cannot be told of an address.
    """
    with asked_briefly(path):
        exists = location(path).exists() if is_address(path) else os.path.exists(path)
    if not exists:
        raise FileNotFoundError(f'{path} does not exist; give {expected}')
