#!/usr/bin/env python
"""Kill a training at random moments, resume it until it ends, and compare it with one that was never killed.

python benchmarks/reliability/kills.py --kills 50
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import IO, Any

import torch

ROOT = Path(__file__).parents[2]
#: Where a run can be hit, in the order of the table
PLACES = ('before the first checkpoint', 'in training', 'while saving', 'in validation', 'a worker')
CONFIG = """_base_ = '{root}/configs/timesformer_tiny_motion.py'
data = {data}
max_epochs = {epochs}
global_batch_size = 6  # three batches of 2, which do not divide the 16 of an epoch
model = dict(backbone=dict(num_layers=2, drop_path_rate=0.3))
train_dataloader = dict(batch_size=2, num_workers=3)
val_dataloader = dict(batch_size=4, num_workers=2)
custom_hooks = [dict(type='EMAHook', momentum=0.05)]
default_hooks = dict(checkpoint=dict(iterations=3), logger=dict(interval=1))
log_level = 'DEBUG'  # every line on the screen
"""


class Run:
    """Manage a training in a work dir: start, kill, resume."""

    def __init__(self, config: Path, work_dir: Path) -> None:
        self.config, self.work_dir = config, work_dir
        self.log = work_dir.with_suffix('.log')
        self.process: subprocess.Popen | None = None

    def start(self, *words: str) -> subprocess.Popen:
        """Start the training in its own process group, with its output appended to the log."""
        command = ['tools/train.py', self.config, '--work-dir', self.work_dir, *words]
        environment = dict(os.environ, OMP_NUM_THREADS='1')
        with self.log.open('a') as log:
            self.process = self.begin([*map(str, command)], environment, log)
        return self.process

    def begin(self, command: list[str], environment: dict[str, str], log: IO) -> subprocess.Popen:
        """Start Python."""
        streams = dict(stdout=log, stderr=subprocess.STDOUT)
        return subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, process_group=0, **streams)

    def finish(self, *words: str, expected: int = 0) -> str:
        """Start the training, wait for its end, and return the log."""
        code = self.start(*words).wait(timeout=300)
        assert code == expected, f'exit code {code}\n{self.log.read_text()[-3000:]}'
        return self.log.read_text()

    def place(self) -> str:
        """Return what the run is doing: one of ``PLACES``."""
        if any(self.work_dir.glob('*.part')):
            return 'while saving'
        if not any(self.work_dir.glob('*.pth')):
            return 'before the first checkpoint'
        steps = re.findall(r'Epoch\((train|val)\) +\[\d+\]\[ *(\d+)/(\d+)\]', self.log.read_text())
        kind, done, total = steps[-1] if steps else ('train', '0', '1')
        return 'in validation' if kind == 'train' and done == total else 'in training'

    def workers(self) -> list[int]:
        """Return the process ids of the data workers."""
        children = Path(f'/proc/{self.process.pid}/task/{self.process.pid}/children').read_text()
        return [int(number) for number in children.split()]

    def final(self) -> dict:
        """Read the last checkpoint."""
        newest = max(self.work_dir.glob('epoch_*.pth'), key=lambda path: int(path.stem.split('_')[1]))
        return torch.load(newest, weights_only=True)


def write_config(folder: Path, data: Path, epochs: int = 3, **words: Any) -> Path:
    """Write the config of the runs: workers, averaged weights, accumulation that does not divide an epoch; and words of
    ``data`` beside its root."""
    path = folder / 'survives.py'
    path.write_text(CONFIG.format(root=ROOT, data=dict(words, root=str(data)), epochs=epochs))
    return path


def difference(one: object, other: object, where: str = '') -> str | None:
    """Describe where two checkpoints differ; None if they are equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return None if torch.equal(one, other) else where
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return f'{where}: {sorted(map(str, one.keys() ^ other.keys()))}'
        found = (difference(one[key], other[key], f'{where}/{key}') for key in one)
        return next(filter(None, found), None)
    if isinstance(one, (list, tuple)) and len(one) == len(other):
        found = (difference(*pair, f'{where}/{index}') for index, pair in enumerate(zip(one, other)))
        return next(filter(None, found), None)
    return None if one == other else where


def result(run: Run) -> dict:
    """Collect what must be equal: weights, averaged weights, optimizer, schedules, best score, losses, files kept."""
    checkpoint = run.final()
    hub = checkpoint['message_hub']
    logged = {name: hub['log_scalars'][name]['values'] for name in ('train/loss', 'train/grad_norm', 'train/lr')}
    return dict(
        {key: checkpoint[key] for key in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')},
        place={key: checkpoint['meta'][key] for key in ('epoch', 'iter')},
        best={key: Path(str(hub['runtime_info'][key])).name for key in ('best_score', 'best_ckpt')},
        logged=logged,
        files=sorted(path.name for path in run.work_dir.iterdir() if path.is_file() and 'survives' not in path.name),
    )


def wait_for(run: Run, place: str, chance: random.Random) -> None:
    """Wait until training begins, then for a random time, then for the chosen place (such as saving) if it comes."""
    begun = run.log.read_text().count('Checkpoints will be saved')
    while run.process.poll() is None and run.log.read_text().count('Checkpoints will be saved') == begun:
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 2.5))
    deadline = time.monotonic() + 10
    while place and run.process.poll() is None and time.monotonic() < deadline and run.place() != place:
        time.sleep(0.0005)
    if place == 'in validation':
        time.sleep(chance.uniform(0, 0.2))


def kill(run: Run, chance: random.Random, hits: Counter) -> bool:
    """Kill the run or one of its workers at a random time, and return whether it was the run.

    One kill in five waits for a checkpoint that is being written, one for a validation, one is of a worker."""
    place = chance.choice(('', '', 'while saving', 'in validation', 'a worker'))
    wait_for(run, 'in training' if place == 'a worker' else place, chance)
    if run.process.poll() is not None:
        return False
    if place == 'a worker' and (workers := run.workers()):
        os.kill(chance.choice(workers), signal.SIGKILL)
        hits['a worker'] += 1
        return False
    run.process.kill()
    run.process.wait()
    hits[run.place()] += 1
    return True


def train_with_kills(config: Path, folder: Path, kills: int, chance: random.Random) -> tuple[Counter, int, list[Run]]:
    """Train until a number of kills has been survived, and count where they hit."""
    hits: Counter = Counter()
    resumes, runs = 0, []
    while hits.total() < kills:
        runs.append(run := Run(config, folder / f'killed_{len(runs)}'))
        run.start()
        while hits.total() < kills and run.process.poll() is None:
            if kill(run, chance, hits):
                run.start('--resume')
                resumes += 1
        run.process.wait(timeout=300)
    return hits, resumes, runs


def compare(kills: int, folder: Path, data: Path, seed: int = 0, **words: Any) -> dict:
    """Compare killed runs with one that was never killed, and count hits, resumes, runs and lost runs; the words are
    those of ``data`` beside its root."""
    config = write_config(folder, data, **words)
    whole = Run(config, folder / 'whole')
    whole.finish()
    expected = result(whole)
    hits, resumes, runs = train_with_kills(config, folder, kills, random.Random(seed))
    lost = [run for run in runs if run.process.returncode != 0]
    differences = {run.work_dir.name: difference(expected, result(run)) for run in runs if run not in lost}
    differing = {name: where for name, where in differences.items() if where}
    return dict(hits=hits, resumes=resumes, runs=len(runs), lost=[run.log for run in lost], differing=differing)


def table(figures: dict) -> str:
    """Format the figures as a Markdown table."""
    rows = [(f'kills {place}', figures['hits'][place]) for place in PLACES]
    rows += [('kills', figures['hits'].total()), ('resumes', figures['resumes']), ('trainings', figures['runs'])]
    rows += [('lost runs', len(figures['lost'])), ('bit-identical', 'no' if figures['differing'] else 'yes')]
    return '\n'.join(['| | |', '|---|---|', *(f'| {name} | {value} |' for name, value in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kills', type=int, default=50)
    parser.add_argument('--seed', type=int, default=0, help='of the times of the kills')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, 'motion')
        make = [sys.executable, ROOT / 'tools/data/make_motion.py', data, '--videos', '8', '2', '2']
        subprocess.run(make, check=True)
        figures = compare(args.kills, Path(folder), data, args.seed)
    print(table(figures))
    if figures['lost'] or figures['differing']:
        sys.exit(f'lost: {figures["lost"]}, differing: {figures["differing"]}')


if __name__ == '__main__':
    main()
