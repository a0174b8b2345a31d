"""Train, test and draw on a folder of videos within a few minutes, and say what to type next."""

import argparse
import json
import math
import os
import shlex
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner as MMEngineRunner

from mmtsf.config import read_config, settle
from mmtsf.datasets.decoders import BrokenVideoError, open_video
from mmtsf.datasets.video_folder import find_classes, list_videos
from mmtsf.engine.dry_run import try_out
from mmtsf.engine.hooks.checkpoint import is_between_updates
from mmtsf.engine.launch import prepare
from mmtsf.engine.runner import Runner
from mmtsf.engine.runner.checkpoint_files import CheckpointFiles
from mmtsf.engine.runner.work_dir import refuse_used
from mmtsf.engine.runs import test
from mmtsf.evaluation.report import write_report
from mmtsf.preparation.motion import write_videos
from mmtsf.utils.cores import num_cores
from mmtsf.utils.screen import say
from mmtsf.utils.vits import shipped_vits
from mmtsf.visualization import draw_curves
from mmtsf.weights import Weights, read_checkpoint, translate
from mmtsf.weights.build import backbone_config
from mmtsf.weights.fitting import fitting_vits
from mmtsf.weights.sources import found_in_cache, local_path

BASE = 'mmtsf::timesformer_tiny_motion.py'
SCHEMES = {'divided': 'DividedAttention', 'space': 'SpaceAttention'}
#: Training steps after which a small model learns little more, and epochs
STEPS, MOST_EPOCHS = 1500, 100
#: Epochs below which less is computed in each
FEW_EPOCHS = 8
#: So many times the epochs that fit by what was measured are planned: the machine may get faster, and where it does not
#: the schedule follows the clock
PLANNED = 2
#: Generated videos of each class to train on, to validate and to test with; the least of them; minutes for all of them
VIDEOS, FEWEST, ALL_MINUTES = (150, 15, 30), (8, 2, 3), 10


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
        epochs (int): Epochs. Defaults to 1.
    """

    root: Path
    train: int
    values: dict[str, Any]
    batch: int
    start: Path | None = None
    recipe: str = 'scratch'
    epochs: int = 1

    @property
    def steps(self) -> int:
        """Updates in an epoch."""
        return -(-self.train // self.batch)

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
            'default_hooks': dict(checkpoint=dict(interval=every), logger=dict(interval=1)),
        }
        text = ''.join(f'{name} = {value!r}\n' for name, value in lines.items())
        text += f'train_dataloader = dict(batch_size={min(self.batch, 4 if self.start else 32)})\n'
        if self.start:
            parts = {name: self.values[name] for name in ('backbone', 'data_preprocessor')}
            model = dict(parts, cls_head=dict(init_std=0.02))
            text += f'model = {model!r}\n'
            text += 'val_dataloader = dict(batch_size=4)\ntest_dataloader = dict(batch_size=4)\n'
        return f'# Written by mmtsf quickstart; change it and train again with mmtsf train\n{text}'


@dataclass(frozen=True)
class Budget:
    """How the time is shared out; seconds are of the monotonic clock.

    Args:
        end (float): When all is to be done.
        setup (float): Seconds in which a test or a picture begins, without computing anything.
        video (float): Seconds of a video in validation and testing.
        videos (int): Videos to validate with and to test with.
    """

    end: float
    setup: float
    video: float
    videos: int

    @property
    def testing(self) -> float:
        """Seconds of validation and test after a training."""
        return self.setup + self.videos * self.video

    def end_of_next(self, number: int) -> float:
        """When the next of so many models has to be trained and tested; pictures come after all of them."""
        now = time.monotonic()
        return now + max(self.end - self.setup - now, 0) / number


class TimeLimit(Hook):
    """End a training in time for its test, with its schedule done: of iterations and the clock, the schedule follows
    the one that is further.

    Args:
        budget (Budget): Of the whole.
        end (float): When the test is to be done.
    """

    priority = 'LOWEST'

    def __init__(self, budget: Budget, end: float) -> None:
        self.budget, self.end = budget, end
        self.begun, self.validating = time.monotonic(), 0.0
        self.done = 0  # steps of the schedule

    def before_train(self, runner: MMEngineRunner) -> None:
        """Begin to count."""
        self.begun = time.monotonic()

    def before_val(self, runner: MMEngineRunner) -> None:
        """Begin to measure what a test will take."""
        self.validating = time.monotonic()

    def after_val(self, runner: MMEngineRunner) -> None:
        """Set as much time aside as validation has taken."""
        taken = time.monotonic() - self.validating
        self.budget = replace(self.budget, video=taken / len(runner.val_dataloader.dataset))

    def after_train_iter(
        self, runner: MMEngineRunner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Move the schedule on to where the clock is; at its end, end the training."""
        self.done += 1  # MMEngine's hook has made the step
        if not is_between_updates(runner):
            return
        iterations, passed = runner.iter + 1, time.monotonic() - self.begun
        left = self.end - self.budget.testing - time.monotonic()
        share = min(passed * (1 + 1 / iterations) / max(passed + left, 1e-3), 1)  # when another iteration is done
        while self.done < int(share * (runner.max_iters - 1)):
            self.done += 1
            for scheduler in runner.param_schedulers:
                scheduler.step()
        if share == 1 and iterations < runner.max_iters:
            say(f'the time to train is over after {iterations} of {runner.max_iters} iterations; the schedule is done')
            runner.train_loop.stop()


def quickstart(args: argparse.Namespace, begun: float) -> None:
    """Train, test and draw within ``args.minutes`` of when the command has begun, by the monotonic clock.

    Raises:
        RuntimeError: If results of an earlier run are there.
        ValueError: If the data are too few.
    """
    setup = (time.monotonic() - begun) / 2  # importing all of this has shown how fast the machine is
    schemes = ['divided'] if args.data else list(SCHEMES)
    for scheme in schemes:
        refuse_used(CheckpointFiles(args.out / scheme))
    torch.set_num_threads(free_cores())
    args.out.mkdir(parents=True, exist_ok=True)
    data = args.data
    if data is None:
        data = args.out / 'data'
        videos = [max(math.ceil(number / fewer_videos(args)), least) for number, least in zip(VIDEOS, FEWEST)]
        write_videos(data, args.videos or videos, seed=args.seed)
    held_out = sum(len(list_videos(data, split, args.seed)) for split in ('val', 'test'))
    budget = Budget(begun + 60 * args.minutes, setup, 0.0, held_out)
    plan, budget = fitting(first_plan(data, args), args, budget, len(schemes), begun)
    config = args.out / 'config.py'
    config.write_text(plan.text())
    for number, scheme in enumerate(schemes):
        print(f'{scheme}:', flush=True)
        train_and_test(config, scheme, args, budget, budget.end_of_next(len(schemes) - number))
    print(report(config, data, schemes, args, plan, begun))


def free_cores() -> int:
    """Cores that other programs leave: threads that wait for each other on busy ones take many times as long."""
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else 0
    return max(min(num_cores(), (os.cpu_count() or 1) - round(load)), 1)


def fewer_videos(args: argparse.Namespace) -> float:
    """Of how many generated videos one is written: to write them takes its time, too."""
    return 1 if args.data or args.videos else max(ALL_MINUTES / args.minutes, 1)


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
    print(f'data: {len(train)} videos to train on, {len(classes)} classes, {length} frames in the median', flush=True)
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
            print(f'start: {args.start or next(iter(cached))}', flush=True)
            weights = translate(read_checkpoint(str(source)))
            backbone = backbone_config(weights)
            frames, size = backbone.pop('num_frames'), backbone.pop('img_size')  # which follow the clip
            if weights.scheme == 'image':
                frames, backbone['attention']['type'] = 8, SCHEMES['divided']
            size = size if isinstance(size, int) else min(size)
            size = shipped_vits()[args.start]['size'] if args.start in shipped_vits() else size
            pixels = pixels_of(args.start, weights)
            values = dict(sized(plan, frames, size).values, backbone=backbone, data_preprocessor=pixels)
            started = replace(plan, values=values, start=source, batch=min(16, plan.batch))
            yield replace(started, recipe='small')
            yield replace(started, recipe='linear_probe')
            if args.start:
                return
            print('the time is too short for these weights')
    if args.data:
        print(
            'start: random weights, as the cache holds no published ones that fit, and --start names none; below a '
            'hundred videos a class expect little of them',
            flush=True,
        )
    yield plan
    yield sized(plan, 4, 32)


def pixels_of(start: str | None, weights: Weights) -> dict:
    """Return mean and std of frames as weights have them: by what their file tells, by their name, or by what all
    published ones of their architecture have; none where the usual ones are as likely."""
    if weights.preprocessing:
        told = weights.preprocessing.plain()
        return {key: told[key] for key in ('mean', 'std', 'to_rgb')}
    names = [start] if start in shipped_vits() else fitting_vits(weights)
    found = [{key: shipped_vits()[str(name)][key] for key in ('mean', 'std')} for name in names]
    return found[0] if found and all(one == found[0] for one in found) else {}


def fitting(plan: Plan, args: argparse.Namespace, budget: Budget, models: int, begun: float) -> tuple[Plan, Budget]:
    """Find the first plan of which enough epochs fit in the time, or the last one, and say what it will take."""
    for candidate in candidates(plan, args):
        clip = seconds_a_clip(candidate, args)
        budget = replace(budget, video=clip / 2)
        training = budget.end_of_next(models) - budget.testing - time.monotonic()
        epoch = candidate.train * clip
        if training >= FEW_EPOCHS * epoch:
            break
    most = min(max(STEPS // candidate.steps, 10), MOST_EPOCHS)
    chosen = replace(candidate, epochs=min(max(int(PLANNED * training / epoch), FEW_EPOCHS), most))
    after = models * budget.testing + budget.setup
    seconds = models * min(chosen.epochs * epoch, max(training, 0))
    print(
        f'plan: up to {chosen.epochs} epochs on {plan.train} videos{" for each of two models" * (models > 1)}: '
        f'{minutes(seconds)} to train, {minutes(after)} to test and draw'
    )
    if training < FEW_EPOCHS * epoch:
        needed = time.monotonic() - begun + models * FEW_EPOCHS * epoch
        needed = fewer_videos(args) * needed + after
        print(
            f'warning: on this machine {args.minutes:g} minutes are too short for {FEW_EPOCHS} epochs; --minutes '
            f'{math.ceil(needed / 60)} has the time'
        )
    return chosen, budget


def minutes(seconds: float) -> str:
    """Format a time."""
    return f'{seconds / 60:.1f} minutes'


def seconds_a_clip(plan: Plan, args: argparse.Namespace) -> float:
    """Measure a few iterations of a plan."""
    file = args.out / 'config.py'
    file.write_text(plan.text())
    config = settle(read_config(file))
    config.work_dir, config.launcher = str(args.out), 'none'
    forecast = try_out(config).forecast
    return forecast.seconds / forecast.clips


def train_and_test(config: Path, scheme: str, args: argparse.Namespace, budget: Budget, end: float) -> None:
    """Train and test a scheme; curves, checkpoint and metrics lie in its folder."""
    work_dir = args.out / scheme
    options = [] if args.data else [f'model.backbone.attention.type={SCHEMES[scheme]}']
    run = argparse.Namespace(config=config, work_dir=str(work_dir), cfg_options=options, launcher='none', dump=None)
    settings = prepare(run)
    settings.randomness.seed = args.seed
    runner = Runner.from_cfg(settings)
    runner.register_hook(TimeLimit(budget, end))
    runner.train()
    run.checkpoint = str(checkpoint_of(work_dir))
    test(run)


def checkpoint_of(work_dir: Path) -> Path:
    """Return the last checkpoint of a training."""
    return work_dir / Path((work_dir / 'last_checkpoint').read_text().strip()).name


def report(config: Path, data: Path, schemes: list[str], args: argparse.Namespace, plan: Plan, begun: float) -> str:
    """Draw curves and attention, summarise the results, and say what to type next."""
    from mmtsf.apis import init_recognizer
    from mmtsf.apis.attention_maps import draw_middle_clip

    out, divided = args.out, args.out / 'divided'
    chance = 1 / plan.values['data']['num_classes']
    draw_curves({scheme: out / scheme for scheme in schemes}, chance, out / 'curves.png')
    for name in ('confusion_matrix.png', 'per_class.csv'):
        shutil.copy(divided / name, out)
    write_report(divided, out / 'report.html')
    videos = list_videos(data, 'test', args.seed)
    checkpoint, left = checkpoint_of(divided), divided / config.name
    draw_middle_clip(init_recognizer(left, checkpoint, fused=True), videos[0], out / 'attention.png')
    top1 = {scheme: json.loads((out / scheme / 'metrics.json').read_text())['acc/top1'] for scheme in schemes}
    named = {'divided': 'divided', 'space': 'space-only'}
    scores = ', '.join(f'{named[scheme]} {score:.1%}' for scheme, score in top1.items())
    lines = [
        f'top-1 on {len(videos)} held-out videos: {scores}, chance {chance:.1%}; {minutes(time.monotonic() - begun)}',
        f'{out}/ holds report.html, pictures (curves, confusion_matrix, attention), per_class.csv and trained models',
    ]
    (out / 'report.txt').write_text('\n'.join(lines) + '\n')
    return '\n'.join([*lines, 'next:', *next_commands(config, videos[0], left, checkpoint, plan)])


def next_commands(config: Path, video: Path, left: Path, checkpoint: Path, plan: Plan) -> Iterator[str]:
    """Commands for what a person does next, ready to be copied."""
    ours = Path(sys.executable).with_name('mmtsf')
    found = shutil.which('mmtsf')
    mmtsf = [str(ours)] if ours.is_file() else [sys.executable, '-m', 'mmtsf']
    if found and Path(found).resolve() == ours.resolve():
        mmtsf = ['mmtsf']
    longer = config.with_name('longer')
    for words in (
        ['predict', video, left, checkpoint],
        ['attention', video, left, checkpoint, config.with_name('attention.gif')],
        ['demo', left, checkpoint],
        ['train', config, '--work-dir', longer, '--cfg-options', f'max_epochs={4 * plan.epochs}'],
    ):
        yield '  ' + shlex.join([*mmtsf, *map(str, words)])
