"""Tools, run as a user would run them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TINY = 'configs/timesformer_tiny_motion.py'


def run_tool(*words: str | Path | int, fails: bool = False, threads: int = 1) -> str:
    """Run a Python or shell tool in the root of the project and return what it prints."""
    command = ['bash' if str(words[0]).endswith('.sh') else sys.executable, *map(str, words)]
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=dict(os.environ, PATH=path, OMP_NUM_THREADS=str(threads), PORT=str(free_port())),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert (result.returncode != 0) == fails, result.stdout[-3000:]
    return result.stdout


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
