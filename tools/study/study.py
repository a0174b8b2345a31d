#!/usr/bin/env python
"""Reproduce the paper's comparisons at a size for two CPU cores (schemes, ablations, costs):

python tools/study/study.py study

Trains the tiny model on a generated data set in which only motion tells the class and on one in which any frame does,
each attention scheme with three seeds, then divided attention with one thing changed at a time; computes and measures
the costs of Figure 3. Writes results.csv, costs.csv, report.md and pictures. What has been run stays: the same command
goes on where it was interrupted.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from grid import Run, all_runs

from mmtsf.utils.arguments import mistakes_of, new_parser
from mmtsf.utils.cores import num_cores
from mmtsf.utils.files import check_folder
from mmtsf.utils.tables import new_table


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument(
        '--data',
        nargs='+',
        default=[],
        metavar='NAME=FOLDER',
        help='data sets of your own, FOLDER/{train,val,test}/CLASS/VIDEO, instead of the generated ones; of the first '
        'motion should tell the class',
    )
    parser.add_argument('--epochs', type=int, default=20, help='of each run (default: 20)')
    parser.add_argument('--videos', type=int, nargs=3, default=(100, 5, 50), metavar=('TRAIN', 'VAL', 'TEST'))
    parser.add_argument('--only', nargs='+', metavar='STUDY', help='e.g. scheme, "patch size", or costs')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='config values of all runs')
    parser.add_argument('--seeds', type=int, default=3, help='of each run (default: 3)')
    parser.add_argument('--processes', type=int, default=num_cores(), help='runs at a time (default: one a CPU)')
    args = parser.parse_args()
    with mistakes_of(parser):
        check_folder(args.out, 'OUT')
        for words in args.data:
            name, _, folder = words.partition('=')
            if not Path(folder, 'train').is_dir():
                raise NotADirectoryError(f'--data is {words}, but there is no folder {folder}/train; give NAME=FOLDER')
    return args


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

from costs import write_costs
from report import write_report

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/timesformer_tiny_motion.py'
KINDS = ('motion', 'patterns')
#: Config values of all runs: one process each, and updates enough in few epochs
SHARED = {
    'global_batch_size': 16,
    'train_dataloader.batch_size': 16,
    **{f'{part}_dataloader.num_workers': 0 for part in ('train', 'val', 'test')},
}


def main() -> None:
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    data_sets = dict(words.split('=', 1) for words in args.data) or dict(make_data(args))
    runs = [
        run for run in all_runs(list(data_sets)) if run.seed < args.seeds and (not args.only or run.study in args.only)
    ]
    different = list({run.name: run for run in runs}.values())
    with ThreadPoolExecutor(args.processes) as pool:
        results = pool.map(lambda run: train_and_test(run, Path(data_sets[run.data]), args), different)
        for number, (run, top1) in enumerate(zip(different, results), 1):
            print(
                f'{number}/{len(different)}: {run.study} {run.value}, {run.data}, seed {run.seed}: {top1:.1%}',
                flush=True,
            )
    if (not args.only or 'costs' in args.only) and not (args.out / 'costs.csv').exists():
        write_costs(args.out / 'costs.csv')
    with new_table(args.out / 'results.csv', ['study', 'value', 'data', 'seed', 'top1', 'seconds']) as write:
        for run in runs:
            write([run.study, run.value, run.data, run.seed, *result_of(run, args.out)])
    write_report(args.out)
    print(f'{len(different)} runs; the report is {args.out}/report.md')


def make_data(args: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """Write the generated data sets, unless they exist."""
    for kind in KINDS:
        folder = args.out / 'data' / kind
        if not folder.exists():
            tool = ROOT / 'tools/data/make_motion.py'
            part = folder.with_suffix('.part')
            call(tool, part, '--kind', kind, '--videos', *args.videos)
            part.rename(folder)
        yield kind, folder


def train_and_test(run: Run, data: Path, args: argparse.Namespace) -> float:
    """Train and test, unless done before, and return the top-1 accuracy."""
    folder = args.out / 'runs' / run.name
    if (folder / 'result.json').exists():
        return result_of(run, args.out)[0]
    epochs = round(args.epochs / run.share)
    classes = sorted(path.name for path in (data / 'train').iterdir())
    options = {
        **run.options,
        **SHARED,
        'data.root': data if run.share == 1 else share_of(data, run.share, args.out / 'data'),
        'data.num_classes': len(classes),
        'max_epochs': epochs,
        'train_cfg.val_interval': epochs,
        'default_hooks.checkpoint.interval': epochs,
    }
    words = ['--work-dir', folder, '--cfg-options', *(f'{key}={value}' for key, value in options.items())]
    words += args.cfg_options
    start = time.time()
    call(ROOT / 'tools/train.py', CONFIG, '--resume', '--seed', run.seed, *words)  # it may have been interrupted
    seconds = time.time() - start
    call(ROOT / 'tools/test.py', CONFIG, folder / f'epoch_{epochs}.pth', *words)
    top1 = json.loads((folder / 'metrics.json').read_text())['acc/top1']
    (folder / 'result.json').write_text(json.dumps(dict(top1=top1, seconds=seconds)))
    for checkpoint in (*folder.glob('*.pth'), *folder.glob('last_checkpoint')):
        checkpoint.unlink()
    return top1


def share_of(data: Path, share: float, folder: Path) -> Path:
    """Make a folder with links to a share of the training videos, and to all test videos."""
    target = folder / f'{data.name}_{share:g}'
    for videos in sorted(data.glob('*/*')):
        files = sorted(videos.iterdir())
        place = target / videos.relative_to(data)
        place.mkdir(parents=True, exist_ok=True)
        for file in files[: round(share * len(files))] if videos.parent.name == 'train' else files:
            link = place / file.name
            if not link.is_symlink():
                link.symlink_to(file.resolve())
    return target


def result_of(run: Run, out: Path) -> tuple[float, float]:
    result = json.loads((out / 'runs' / run.name / 'result.json').read_text())
    return result['top1'], round(result['seconds'], 1)


def call(*words: object) -> None:
    """Run a tool on one core.

    Raises:
        RuntimeError: If it fails, with the end of what it says.
    """
    command = [sys.executable, *map(str, words)]
    environment = dict(os.environ, OMP_NUM_THREADS='1')
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        raise RuntimeError(f'{" ".join(command)} failed:\n{result.stdout[-3000:]}')


if __name__ == '__main__':
    main()
