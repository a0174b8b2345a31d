#!/usr/bin/env python
"""Train the tiny TimeSformer with divided and with space-only attention, test both, and draw the results."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from mmtsf.utils.arguments import mistakes_of, new_parser
from mmtsf.utils.cores import num_cores
from mmtsf.utils.files import check_folder


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    parser.add_argument('--data', type=Path, help='folder of class folders (default: a motion data set is generated)')
    parser.add_argument(
        '--out', type=Path, help='folder for all results (default: quickstart, or quickstart_NAME for a folder NAME)'
    )
    parser.add_argument('--epochs', type=int, help='epochs of training (default: 25, or about 1500 steps on your data)')
    parser.add_argument(
        '--videos',
        nargs=3,
        default=['150', '15', '30'],
        metavar=('TRAIN', 'VAL', 'TEST'),
        help='videos a class of the generated data set (default: 150 15 30)',
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the split and of training')
    args = parser.parse_args()
    args.out = args.out or Path(f'quickstart_{args.data.resolve().name}' if args.data else 'quickstart')
    with mistakes_of(parser):
        if args.data and not args.data.is_dir():
            raise NotADirectoryError(
                f'{args.data} is not a folder of class folders; give one with a folder for each class'
            )
        check_folder(args.out, '--out')
    return args


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

from mmtsf.datasets.decoders import BrokenVideoError, open_video
from mmtsf.datasets.video_folder import find_classes, list_videos
from mmtsf.engine.runner.checkpoint_files import CheckpointFiles
from mmtsf.engine.runner.work_dir import refuse_used
from mmtsf.visualization import draw_curves

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / 'configs/timesformer_tiny_motion.py'
SCHEMES = {'divided': 'DividedAttention', 'space': 'SpaceAttention'}
#: Training steps on a folder of the user's; the schedule of the config takes about as many
STEPS = 1500


def choose_settings(data: Path, seed: int) -> list[str]:
    """Choose options for a folder of class folders: clips as long as its median video, about :data:`STEPS` steps.

    Raises:
        SystemExit: If a class is too small to be split, or no video can be read.
    """
    classes = find_classes(data)
    train, held_out = (list_videos(data, split, seed) for split in ('train', 'test'))
    if len(classes) < 2 or len(train) < 8 or not held_out:
        sys.exit(
            f'{data} has {len(classes)} classes, {len(train)} training and {len(held_out)} test videos; expected at '
            'least 2 classes, 8 videos to train on and one to test on'
        )
    lengths = []
    for video in train[:: max(len(train) // 50, 1)]:
        try:
            lengths.append(open_video(str(video)).num_frames)
        except BrokenVideoError as error:
            print(f'skipped: {error}')
    if not lengths:
        sys.exit(f'none of the videos tried in {data} can be read')
    batch = min(32, len(train) // 2)
    options = {
        'data.source': 'folder',
        'data.num_classes': len(classes),
        'data.split_seed': seed,
        'data.skip_broken': True,
        'clip.frame_interval': max(int(statistics.median(lengths)) // 8, 1),
        'global_batch_size': batch,
        'train_dataloader.batch_size': batch,
        'max_epochs': max(STEPS // (len(train) // batch), 10),
    }
    return [f'{key}={value}' for key, value in options.items()]


def run(name: str, *arguments: str | Path, out: Path) -> subprocess.Popen:
    """Start a tool with a share of the cores, and write its output to a log."""
    threads = max(num_cores() // len(SCHEMES), 1)
    with Path(out, f'{name}.log').open('w') as log:
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(os.environ, OMP_NUM_THREADS=str(threads)),
        )


def wait(processes: dict[str, subprocess.Popen], out: Path) -> None:
    """Wait for all processes, and show the last line of each log.

    Raises:
        SystemExit: If one fails; the end of its log is printed.
    """
    shown = {}
    while any(process.poll() is None for process in processes.values()):
        time.sleep(2)
        for name in processes:
            lines = [line for line in Path(out, f'{name}.log').read_text().splitlines() if 'Epoch(' in line]
            if lines and shown.get(name) != lines[-1]:
                shown[name] = lines[-1]
                print(f'{name:14}{lines[-1].partition("INFO - ")[2]}', flush=True)
    for name, process in processes.items():
        if process.returncode:
            print(*Path(out, f'{name}.log').read_text().splitlines()[-15:], sep='\n')
            sys.exit(f'{name} failed; the whole log is in {out}/{name}.log')


def train_and_test(data: Path, options: list[str], args: argparse.Namespace) -> None:
    """Train both schemes side by side, then test both."""
    common = {
        scheme: [
            '--work-dir',
            args.out / scheme,
            '--cfg-options',
            f'data.root={data}',
            f'model.backbone.attention.type={attention}',
            *options,
        ]
        for scheme, attention in SCHEMES.items()
    }
    for tool, extra in (('train', ['--seed', args.seed]), ('test', [])):
        processes = {}
        for scheme, rest in common.items():
            checkpoint = [max((args.out / scheme).glob('epoch_*.pth'), key=os.path.getmtime)] if tool == 'test' else []
            name = f'{tool}_{scheme}'
            processes[name] = run(name, ROOT / f'tools/{tool}.py', CONFIG, *checkpoint, *extra, *rest, out=args.out)
        wait(processes, args.out)


def report(data: Path, args: argparse.Namespace, seconds: float) -> str:
    """Draw curves and attention, and summarise the results."""
    classes = find_classes(data)
    chance = 1 / len(classes)
    draw_curves({scheme: args.out / scheme for scheme in SCHEMES}, chance, args.out / 'curves.png')
    shutil.copy(args.out / 'divided/confusion_matrix.png', args.out)
    shutil.copy(args.out / 'divided/per_class.csv', args.out)
    checkpoint = max((args.out / 'divided').glob('epoch_*.pth'), key=os.path.getmtime)
    video = list_videos(data, 'test', args.seed)[0]
    drawing = run(
        'attention',
        ROOT / 'tools/analysis/visualize_attention.py',
        video,
        args.out / 'divided' / CONFIG.name,
        checkpoint,
        args.out / 'attention.png',
        out=args.out,
    )
    wait({'attention': drawing}, args.out)
    top1 = {scheme: json.loads((args.out / scheme / 'metrics.json').read_text())['acc/top1'] for scheme in SCHEMES}
    num_test = len(list_videos(data, 'test', args.seed))
    return (
        f'top-1 on {num_test} held-out videos: divided {top1["divided"]:.1%}, space-only {top1["space"]:.1%}, '
        f'chance {chance:.1%}; {seconds / 60:.1f} minutes\n'
        f'{args.out}/ holds curves.png, confusion_matrix.png, per_class.csv, attention.png and both models'
    )


def main() -> None:
    args = parse_args()
    start = time.time()
    for scheme in SCHEMES:
        refuse_used(CheckpointFiles(args.out / scheme))
    args.out.mkdir(parents=True, exist_ok=True)
    data, options = args.data, []
    if data:
        options = choose_settings(data, args.seed)
        print('settings:', *options)
    else:
        data = args.out / 'data'
        make_motion = [sys.executable, ROOT / 'tools/data/make_motion.py', data, '--seed', str(args.seed)]
        subprocess.run([*make_motion, '--videos', *args.videos], check=True)
    if args.epochs:
        options.append(f'max_epochs={args.epochs}')
    train_and_test(data, options, args)
    text = report(data, args, time.time() - start)
    (args.out / 'report.txt').write_text(text + '\n')
    print(text)


if __name__ == '__main__':
    main()
