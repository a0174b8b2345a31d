"""Tools, run as a user would run them."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import warm

from mmtsf.commands import new_command
from mmtsf.utils.arguments import mistakes_of

ROOT = Path(__file__).parents[1]
TINY = 'configs/timesformer_tiny_motion.py'


def in_process(name: str, *words: object) -> int | None:
    """Run a command in this process: its exit status, or raises what it has to say."""
    command, parser = new_command(name)
    args = parser.parse_intermixed_args(list(map(str, words)))
    with mistakes_of(parser):
        command.check(args)
    return command.run(args)


def run_tool(
    *words: str | Path | int,
    fails: bool = False,
    threads: int = 1,
    anew: bool = False,
    folder: Path = ROOT,
    **variables: str | None,
) -> str:
    """Run a Python or shell tool in the root of the project and return what it prints.

    Args:
        words (str | Path | int): The tool and its arguments.
        fails (bool): Whether it is expected to fail. Defaults to False.
        threads (int): Threads of torch. Defaults to 1.
        anew (bool): Whether Python is started for it, as users do; else a warm one is forked. Defaults to False.
        folder (Path): Folder to run in. Defaults to the root of the project.
        variables (str, optional): Other variables of its environment; None removes one.
    """
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    environment = dict(os.environ, PATH=path, OMP_NUM_THREADS=str(threads), PORT=str(free_port())) | variables
    environment = {key: value for key, value in environment.items() if value is not None}
    if not anew:
        environment |= dict(PYTHON=warm.python())
    is_shell = str(words[0]).endswith('.sh')
    with tempfile.TemporaryFile('w+') as output:
        if is_shell or anew:
            command = ['bash' if is_shell else sys.executable, *map(str, words)]
            streams = dict(stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
            code = subprocess.run(command, cwd=folder, env=environment, timeout=300, **streams).returncode
        else:
            code = warm.start([*map(str, words)], folder, environment, output).wait(timeout=300)
        output.seek(0)
        text = output.read()
    assert (code != 0) == fails, text[-3000:]
    return text


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


def options(motion: Path, **changes) -> list[str]:
    """Config options for a training of seconds on the motion videos."""
    small = {
        'data.root': motion,
        'max_epochs': 2,
        'global_batch_size': 8,
        'train_dataloader.batch_size': 8,
        'model.backbone.num_layers': 2,
        'model.backbone.drop_path_rate': 0.3,
        **changes,
    }
    return ['--cfg-options', *(f'{key}={value}' for key, value in small.items())]


def write_json(motion: Path, folder: Path) -> None:
    """Make a folder of motion videos with ``videos.json``, as the data set of projects/example reads it."""
    folder.mkdir()
    videos = []
    for split in ('train', 'val', 'test'):
        (folder / split).symlink_to(motion / split)
        paths = sorted(path.relative_to(motion) for path in (motion / split).glob('*/*.mp4'))
        videos += [{'path': str(path), 'class': path.parent.name, 'split': split} for path in paths]
    (folder / 'videos.json').write_text(json.dumps({'videos': videos}))


def log_of(work_dir: Path) -> str:
    """What the log files of a work dir hold, in the order in which they were begun."""
    return ''.join(file.read_text() for file in sorted(work_dir.glob('*/*.log')))
