"""Runs in several processes, and what they leave."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import torch
import warm
from kills import Run
from runs import ROOT, TINY, free_port, run_tool

#: Without chance in the model, and with gradients that decide how far a weight moves
STEADY = {
    'model.backbone.drop_path_rate': 0.0,
    'optim_wrapper.optimizer.type': 'SGD',
    'optim_wrapper.optimizer.momentum': 0.9,
    'optim_wrapper.optimizer.weight_decay': 0.0,
    'lr': 0.02,
}


class WarmRun(Run):
    """A training that can be started, killed and resumed, forked from a warm process."""

    def begin(self, command: list[str], environment: dict[str, str], log: IO) -> warm.Child:
        """Fork a child."""
        return warm.start(command, ROOT, environment, log, group=True)


def train(processes: int, work_dir: Path, *words: Any, **how: bool) -> str:
    """Train in so many processes, and return what is printed; one of them without any launcher."""
    tool = ['tools/train.py', TINY] if processes == 1 else ['tools/dist_train.sh', TINY, processes]
    return run_tool(*tool, '--work-dir', work_dir, *words, **how)


def start(work_dir: Path, *words: Any, processes: int = 2, **variables: Any) -> subprocess.Popen:
    """The same, not waited for; its process is torchrun's own."""
    environment = {'OMP_NUM_THREADS': 1, 'PORT': free_port(), 'PYTHON': sys.executable, **variables}
    environment['PYTHON_EXEC'] = warm.python()  # in which torchrun runs the tool
    with (work_dir.parent / f'{work_dir.name}.log').open('a') as log:
        return subprocess.Popen(
            ['bash', 'tools/dist_train.sh', TINY, str(processes), '--work-dir', str(work_dir), *map(str, words)],
            cwd=ROOT,
            env={**os.environ, **{name: str(value) for name, value in environment.items()}},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def children(pid: int) -> list[int]:
    """Process ids of what a process has started."""
    return [int(word) for word in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]


def wait_for(file: Path, run: subprocess.Popen, seconds: float = 120) -> None:
    """Until a run has written a file."""
    end = time.monotonic() + seconds
    while not file.exists():
        assert run.poll() is None, f'the run ended before it wrote {file}'
        assert time.monotonic() < end, f'{file} is not written'
        time.sleep(0.01)


def tensors(checkpoint: Path, part: str = 'state_dict') -> dict[str, torch.Tensor]:
    """Tensors of a checkpoint, by dotted name, read by nothing but PyTorch's safe loader."""

    def walk(value: Any, name: str) -> Any:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(item, torch.Tensor):
                yield f'{name}.{key}', item
            elif isinstance(item, (dict, list)):
                yield from walk(item, f'{name}.{key}')

    return dict(walk(torch.load(checkpoint, weights_only=True)[part], part))


def apart(first: Path, second: Path, part: str = 'state_dict') -> float:
    """The largest difference of two checkpoints of the same keys, shapes and kinds of numbers."""
    ours, theirs = tensors(first, part), tensors(second, part)
    assert {key: (x.shape, x.dtype) for key, x in ours.items()} == {
        key: (x.shape, x.dtype) for key, x in theirs.items()
    }
    return max(float((ours[key].double() - theirs[key].double()).abs().max()) for key in ours)
