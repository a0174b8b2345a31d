"""Train, test and draw on a folder of videos within a few minutes, and say what to type next."""

import argparse
import json
import os
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mmtsf.config import read_config, settle
from mmtsf.datasets.decoders import BrokenVideoError, open_video
from mmtsf.datasets.video_folder import find_classes, list_videos
from mmtsf.engine.dry_run import try_out
from mmtsf.engine.runner.checkpoint_files import CheckpointFiles
from mmtsf.engine.runner.work_dir import refuse_used
from mmtsf.preparation.motion import write_videos
from mmtsf.utils.cores import num_cores
from mmtsf.utils.signals import EXIT_CODES
from mmtsf.visualization import draw_curves
from mmtsf.weights import read_checkpoint, translate
from mmtsf.weights.build import backbone_config
from mmtsf.weights.sources import found_in_cache, local_path

BASE = 'mmtsf::timesformer_tiny_motion.py'
SCHEMES = {'divided': 'DividedAttention', 'space': 'SpaceAttention'}
#: Training steps after which a small model learns little more, and epochs
STEPS, MOST_EPOCHS = 1500, 100
#: Epochs below which less is computed in each
FEW_EPOCHS = 8
#: Share of the time left that is planned with: validation, checkpoints and other programs take their part
PLANNED = 0.75
#: Seconds that a test and a picture take beside starting Python, which was measured, and testing the videos
DRAWING = 5.0


#: Exit codes of a command that has ended by itself or because it was asked to
ENDS = (0, EXIT_CODES[signal.SIGTERM], 128 + signal.SIGTERM, -signal.SIGTERM)


@dataclass(frozen=True)
class Plan:
    """How a model is trained.

    Args:
        root (Path): Folder of class folders.
        train (int): Videos to train on in it.
        values (dict): Values of the config beside those that other fields make.
        batch (int): Videos of an update.
        start (Path, optional): Weights to start from. Defaults to None: random ones.
        recipe (str): Recipe. Defaults to ``'scratch'``.
        share (int): Of so many videos one is trained on. Defaults to 1: all.
        epochs (int): Epochs. Defaults to 1.
    """

    root: Path
    train: int
    values: dict[str, Any]
    batch: int
    start: Path | None = None
    recipe: str = 'scratch'
    share: int = 1
    epochs: int = 1

    @property
    def steps(self) -> int:
        """Updates in an epoch."""
        return -(-(self.train // self.share) // self.batch)

    def text(self) -> str:
        """Config file of the plan."""
        every = max(self.epochs // 10, 1)
        data = dict(self.values['data'], root=str(self.root.resolve()))
        lines = {
            '_base_': BASE,
            'recipe': self.recipe,
            'data': data,
            'clip': self.values['clip'],
            'start': self.start and str(self.start.resolve()),
            'max_epochs': self.epochs,
            'global_batch_size': self.batch,
            'train_cfg': dict(val_interval=every),
            'default_hooks': dict(checkpoint=dict(interval=every)),
        }
        text = ''.join(f'{name} = {value!r}\n' for name, value in lines.items())
        text += f'train_dataloader = dict(batch_size={min(self.batch, 4 if self.start else 32)}'
        if self.share > 1:
            text += f', dataset=dict(indices=list(range(0, {self.train}, {self.share})))'
        text += ')\n'
        if self.start:
            model = dict(backbone=self.values['backbone'], cls_head=dict(init_std=0.02))
            text += f'model = {model!r}\n'
            text += 'val_dataloader = dict(batch_size=4)\ntest_dataloader = dict(batch_size=4)\n'
        return f'# Written by mmtsf quickstart; change it and train again with mmtsf train\n{text}'


def quickstart(args: argparse.Namespace, begun: float) -> None:
    """Train, test and draw within ``args.minutes`` of when the command has begun, by the monotonic clock.

    Raises:
        RuntimeError: If results of an earlier run are there.
        ValueError: If the data are too few.
    """
    importing = time.monotonic() - begun  # as long as Python takes again for each command
    schemes = ['divided'] if args.data else list(SCHEMES)
    for scheme in schemes:
        refuse_used(CheckpointFiles(args.out / scheme))
    args.out.mkdir(parents=True, exist_ok=True)
    data = args.data
    if data is None:
        data = args.out / 'data'
        write_videos(data, args.videos, seed=args.seed)
    plan = first_plan(data, args)
    deadline = begun + 60 * args.minutes
    threads = max(num_cores() // len(schemes), 1)
    torch.set_num_threads(threads)
    num_test = len(list_videos(data, 'test', args.seed))
    plan, seconds, after = fitting(plan, args, deadline, num_test, importing)
    config = args.out / 'config.py'
    config.write_text(plan.text())
    videos = f'{plan.train // plan.share} videos' + (f' of {plan.train}' if plan.share > 1 else '')
    print(f'plan: {plan.epochs} epochs on {videos}: {minutes(seconds)} to train, {minutes(after)} to test and draw')
    least = time.monotonic() + 2 * importing + seconds / plan.epochs
    if least + after > deadline:
        print(f'warning: {args.minutes:g} minutes are too short; {minutes(least + after - begun)} are taken')
    train_and_test(config, schemes, args, threads, max(deadline - after, least))
    print(report(config, data, schemes, args, time.monotonic() - begun, plan))


def minutes(seconds: float) -> str:
    """Format a time."""
    return f'{seconds / 60:.1f} minutes'


def first_plan(data: Path, args: argparse.Namespace) -> Plan:
    """Choose what the videos ask for: clips as long as the median one.

    Raises:
        ValueError: If a class is too small to be split, or no video can be read.
    """
    classes = find_classes(data)
    train, held_out = (list_videos(data, split, args.seed) for split in ('train', 'test'))
    if len(classes) < 2 or len(train) < 8 or not held_out:
        raise ValueError(
            f'{data} has {len(classes)} classes, {len(train)} training and {len(held_out)} test videos; expected at '
            'least 2 classes, 8 videos to train on and one to test on'
        )
    lengths = []
    for video in train[:: max(len(train) // 20, 1)]:
        try:
            lengths.append(open_video(str(video)).num_frames)
        except BrokenVideoError as error:
            print(f'warning: left out: {error}')
    if not lengths:
        raise ValueError(f'none of the videos tried in {data} can be read; mmtsf check {data} lists them with reasons')
    length = int(statistics.median(lengths))
    flips = {} if args.data else dict(flip_ratio=0.0)  # a mirror image moves the other way
    values = dict(
        data=dict(source='folder', num_classes=len(classes), split_seed=args.seed, skip_broken=True, **flips),
        length=length,
    )
    print(f'data: {len(train)} videos to train on, {len(classes)} classes, {length} frames in the median')
    return sized(Plan(data, len(train), values, min(32, len(train) // 2)), 8, 48)


def sized(plan: Plan, num_frames: int, size: int) -> Plan:
    """Give a plan clips of so many frames over a whole video, and of so many pixels."""
    interval = max(plan.values['length'] // num_frames, 1)
    jitter = (size, size * 7 // 6) if size < 100 else (size * 8 // 7, size * 10 // 7)
    clip = dict(num_frames=num_frames, frame_interval=interval, size=size, jitter=jitter)
    return replace(plan, values=dict(plan.values, clip=clip))


def candidates(plan: Plan, args: argparse.Namespace) -> Iterator[Plan]:
    """Plans from the best to the cheapest: from pretrained weights, then from random ones, then of smaller clips."""
    if args.data and args.start != 'none':
        cached = {} if args.start else {x: path for x, path in found_in_cache().items() if 'timesformer' in x}
        source = Path(local_path(args.start)) if args.start else next(iter(cached.values()), None)
        if source is not None:
            print(f'start: {args.start or next(iter(cached))}')
            backbone = backbone_config(translate(read_checkpoint(str(source))))
            size = backbone['img_size'] if isinstance(backbone['img_size'], int) else backbone['img_size'][0]
            values = dict(sized(plan, backbone['num_frames'], size).values, backbone=backbone)
            started = replace(plan, values=values, start=source, batch=min(16, plan.batch))
            yield replace(started, recipe='small')
            yield replace(started, recipe='linear_probe')
            if args.start:
                return
            print('the time is too short for these weights')
    if args.data:
        print(
            'start: random weights, as the cache holds no published ones that fit, and --start names none; below a '
            'hundred videos a class expect little of them'
        )
    yield plan
    yield sized(plan, 4, 32)


def fitting(
    plan: Plan, args: argparse.Namespace, deadline: float, num_test: int, importing: float
) -> tuple[Plan, float, float]:
    """Find the first plan of which enough epochs fit in the time, or the last one with fewer videos.

    Returns:
        tuple: The plan, seconds of its training, and seconds of what comes after it.
    """
    for candidate in candidates(plan, args):
        clip = seconds_a_clip(candidate, args)
        after = 2.5 * importing + DRAWING + num_test * clip / 2
        left = max(PLANNED * (deadline - after - importing - time.monotonic()), 1.0)
        epoch = 0.3 + candidate.train * clip
        epochs = args.epochs or int(min(left / epoch, max(STEPS // candidate.steps, 10), MOST_EPOCHS))
        if epochs >= FEW_EPOCHS or args.epochs:
            break
    share = 1
    if epochs < 1:  # of the last candidate
        share = min(-(-int(epoch * 1000) // int(left * 1000)), candidate.train // candidate.batch)
    chosen = replace(candidate, epochs=max(epochs, 1), share=share)
    return chosen, chosen.epochs * epoch / share + importing, after


def seconds_a_clip(plan: Plan, args: argparse.Namespace) -> float:
    """Measure a few iterations of a plan."""
    file = args.out / 'config.py'
    file.write_text(plan.text())
    config = settle(read_config(file))
    config.work_dir, config.launcher = str(args.out), 'none'
    forecast = try_out(config).forecast
    both = 1 if args.data else 1.3  # two trainings share the memory's bandwidth
    return both * forecast.seconds / forecast.clips


def start(name: str, *words: str | Path, out: Path, threads: int) -> subprocess.Popen:
    """Start a command with a share of the cores, and write its output to a log."""
    with Path(out, f'{name}.log').open('w') as log:
        return subprocess.Popen(
            [sys.executable, '-m', 'mmtsf', *map(str, words)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(os.environ, OMP_NUM_THREADS=str(threads)),
        )


def wait(processes: dict[str, subprocess.Popen], out: Path, deadline: float = float('inf')) -> None:
    """Wait for all processes, and show the last line of each log; at the deadline they are asked to leave.

    Raises:
        RuntimeError: If one fails; the end of its log is printed.
    """
    shown: dict[str, str] = {}
    try:
        while any(process.poll() is None for process in processes.values()):
            time.sleep(0.2)
            for name, process in processes.items():
                lines = [line for line in Path(out, f'{name}.log').read_text().splitlines() if 'epoch ' in line[:6]]
                if lines and shown.get(name) != lines[-1]:
                    shown[name] = lines[-1]
                    print(f'{name:14}{lines[-1]}', flush=True)
                if time.monotonic() > deadline and process.poll() is None and name not in shown.get('late', ''):
                    shown['late'] = shown.get('late', '') + name
                    process.send_signal(signal.SIGTERM)  # it writes a checkpoint
    except KeyboardInterrupt:
        for process in processes.values():
            process.terminate()
        raise
    for name, process in processes.items():
        if process.returncode not in ENDS:
            print(*Path(out, f'{name}.log').read_text().splitlines()[-15:], sep='\n')
            raise RuntimeError(f'{name} failed; the whole log is {out}/{name}.log')


def checkpoint_of(work_dir: Path) -> Path:
    """Return the last checkpoint of a training.

    Raises:
        RuntimeError: If there is none.
    """
    pointer = work_dir / 'last_checkpoint'
    if not pointer.is_file():
        raise RuntimeError(f'the time was over before {work_dir} had a checkpoint; give more --minutes')
    return work_dir / Path(pointer.read_text().strip()).name


def train_and_test(config: Path, schemes: list[str], args: argparse.Namespace, threads: int, deadline: float) -> None:
    """Train all schemes side by side, then test them."""
    for name in ('train', 'test'):
        processes = {}
        for scheme in schemes:
            words = [config, *([checkpoint_of(args.out / scheme)] if name == 'test' else ['--seed', str(args.seed)])]
            words += ['--work-dir', args.out / scheme]
            words += ['--cfg-options', f'model.backbone.attention.type={SCHEMES[scheme]}'] if len(schemes) > 1 else []
            processes[f'{name}_{scheme}'] = start(f'{name}_{scheme}', name, *words, out=args.out, threads=threads)
        wait(processes, args.out, deadline if name == 'train' else float('inf'))


def report(config: Path, data: Path, schemes: list[str], args: argparse.Namespace, seconds: float, plan: Plan) -> str:
    """Draw curves and attention, summarise the results, and say what to type next."""
    out, divided = args.out, args.out / 'divided'
    chance = 1 / plan.values['data']['num_classes']
    if all(has_epochs(out / scheme) for scheme in schemes):
        draw_curves({scheme: out / scheme for scheme in schemes}, chance, out / 'curves.png')
    for name in ('confusion_matrix.png', 'per_class.csv'):
        shutil.copy(divided / name, out)
    videos = list_videos(data, 'test', args.seed)
    checkpoint, left = checkpoint_of(divided), divided / config.name
    words = ['attention', videos[0], left, checkpoint, out / 'attention.png']
    wait({'attention': start('attention', *words, out=out, threads=num_cores())}, out)
    top1 = {scheme: json.loads((out / scheme / 'metrics.json').read_text())['acc/top1'] for scheme in schemes}
    named = {'divided': 'divided', 'space': 'space-only'}
    scores = ', '.join(f'{named[scheme]} {score:.1%}' for scheme, score in top1.items())
    lines = [
        f'top-1 on {len(videos)} held-out videos: {scores}, chance {chance:.1%}; {minutes(seconds)}',
        f'{out}/ holds pictures (curves, confusion_matrix, attention), per_class.csv and the trained models',
    ]
    (out / 'report.txt').write_text('\n'.join(lines) + '\n')
    return '\n'.join([*lines, 'next:', *next_commands(config, videos[0], left, checkpoint, plan)])


def has_epochs(work_dir: Path) -> bool:
    """Return whether a training has logged a validation; one that had to leave at once has nothing to draw."""
    return any('acc/top1' in file.read_text() for file in work_dir.glob('*/vis_data/scalars.json'))


def next_commands(config: Path, video: Path, left: Path, checkpoint: Path, plan: Plan) -> Iterator[str]:
    """Commands for what a person does next, ready to be copied."""
    mmtsf = [str(Path(sys.executable).with_name('mmtsf'))]
    if shutil.which('mmtsf') is not None:
        mmtsf = ['mmtsf']
    elif not Path(mmtsf[0]).is_file():
        mmtsf = [sys.executable, '-m', 'mmtsf']
    longer = config.with_name('longer')
    for words in (
        ['predict', video, left, checkpoint],
        ['attention', video, left, checkpoint, config.with_name('attention.gif')],
        ['demo', left, checkpoint],
        ['train', config, '--work-dir', longer, '--cfg-options', f'max_epochs={4 * plan.epochs}'],
    ):
        yield '  ' + shlex.join([*mmtsf, *map(str, words)])
