#!/usr/bin/env python
"""Compare video models from random weights and from an image model, and what has to learn:

python tools/study/starts.py OUT --data NAME=TRAIN_LIST,TEST_LIST,EPOCHS

Trains a small image model on Fashion-MNIST (Debian: apt install dataset-fashion-mnist), and on each data set video
models of the five schemes, from random weights and from the image model: all weights, only what a video model adds to
an image model, or the head alone. Writes starts.csv, report.md, pictures and image_model.safetensors, which start=FILE
takes. What has been run stays: the same command goes on where it was interrupted.
"""

import argparse
import csv
import itertools
import multiprocessing
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from grid import SCHEMES, SEEDS

from mmtsf.utils.arguments import check_exists, mistakes_of, new_parser, positive
from mmtsf.utils.cores import num_cores
from mmtsf.utils.files import check_folder, written_whole
from mmtsf.utils.tables import as_row, read_table, rounded

IMAGES, IMAGES_NAME = 'train-images-idx3-ubyte.gz', 'fashion-mnist'
RESULTS = 'starts.csv'


class Data(NamedTuple):
    """Name a data set by its annotation lists, whose paths start from their folder.

    Attributes:
        name (str): Its name in tables.
        train (Path): List of the training videos.
        test (Path): List of the test videos.
        epochs (int): Epochs of a training.
    """

    name: str
    train: Path
    test: Path
    epochs: int


def data_set(words: str) -> Data:
    """Parse ``NAME=TRAIN_LIST,TEST_LIST,EPOCHS``."""
    match = re.fullmatch(r'([\w-]+)=(.+),(.+),([1-9]\d{0,5})', words)
    if not match:
        raise argparse.ArgumentTypeError(f'{words!r}, expected NAME=TRAIN_LIST,TEST_LIST,EPOCHS')
    return Data(match[1], Path(match[2]), Path(match[3]), int(match[4]))


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument('--data', nargs='+', required=True, type=data_set, metavar='NAME=TRAIN_LIST,TEST_LIST,EPOCHS')
    parser.add_argument('--images', type=Path, default='/usr/share/datasets/fashion-mnist', help='folder of the images')
    parser.add_argument('--image-epochs', type=positive(int), default=3, help='of the image model (default: 3)')
    parser.add_argument('--schemes', nargs='+', choices=list(SCHEMES), default=list(SCHEMES))
    parser.add_argument('--seeds', type=positive(int), default=len(SEEDS), help=f'default: {len(SEEDS)}')
    parser.add_argument('--processes', type=positive(int), default=num_cores(), help='default: one a CPU')
    args = parser.parse_args()
    with mistakes_of(parser):
        check_folder(args.out, 'OUT')
        check_exists(
            args.images / IMAGES, 'the folder of Fashion-MNIST (apt install dataset-fashion-mnist) as --images'
        )
        for path in (path for data in args.data for path in (data.train, data.test)):
            check_exists(path, 'NAME=TRAIN_LIST,TEST_LIST,EPOCHS as --data')
        check_image_model(args)
    return args


def check_image_model(args: argparse.Namespace) -> None:
    """Check that what has been run began from the same image model.

    Raises:
        ValueError: If that had other epochs.
    """
    rows = read_table(args.out / RESULTS) if (args.out / RESULTS).exists() else []
    if other := {row['epochs'] for row in rows if row['data'] == IMAGES_NAME} - {str(args.image_epochs)}:
        raise ValueError(
            f'--image-epochs is {args.image_epochs}, but results in {args.out} have an image model of {min(other)}; '
            'give that, or another folder'
        )


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

import torch
from in_memory import Samples, accuracy, build, fit, read_clips, read_images
from report import Accuracies, draw, relation, table

from mmtsf.weights.write import write

#: Top learning rates by what learns, chosen on validation videos as docs/study.md says
RATES = {'all': 2e-3, 'added': 8e-3, 'head': 3e-2}
#: The word ``training.frozen`` by what learns: 'image' is that of recipe=frozen_time
FROZEN = {'all': False, 'added': 'image', 'head': True}
#: Schemes that add attention steps to an image model
WITH_ADDED = ('divided', 'local-global', 'axial')
IMAGE_MODEL = 'image_model.safetensors'


class Run(NamedTuple):
    """Describe a training and its test.

    Attributes:
        data (str): Name of the data set.
        scheme (str): Attention scheme.
        start (str): ``'random'`` or ``'image'``.
        learns (str): ``'all'``, ``'added'`` (what a video model adds to an image model, and the head) or ``'head'``.
        epochs (str): Epochs of the training.
        seed (str): Seed of new weights, order and crops.
    """

    data: str
    scheme: str
    start: str
    learns: str
    epochs: str
    seed: str


#: Starts with what learns
WAYS = [('random', 'all'), ('image', 'all'), ('image', 'added'), ('image', 'head'), ('random', 'added')]
#: Questions, each with the way that would be better and the other
QUESTIONS = {
    'an image start helps where all weights learn': ('image, all', 'random, all'),
    'an image start helps where only what is added learns': ('image, added', 'random, added'),
    'with an image start, what is added and the head do better than the head alone': ('image, added', 'image, head'),
    'with an image start, what is added and the head do better than all weights': ('image, added', 'image, all'),
}


def main() -> None:
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / RESULTS
    done = {Run(*(row[name] for name in Run._fields)) for row in read_table(file)} if file.exists() else set()
    with file.open('a', encoding='utf-8', newline='') as results:
        writer = csv.writer(results)
        if not file.stat().st_size:
            writer.writerow((*Run._fields, 'top1', 'seconds'))
        runs = [run for run in all_runs(args) if run not in done]
        for number, row in enumerate(rows_of(runs, args), 1):
            writer.writerow(as_row(row))
            results.flush()
            print(f'{number}/{len(runs)}: {" ".join(map(str, row))}', flush=True)
    write_report(args.out)
    print(f'the report is {args.out}/report.md')


def all_runs(args: argparse.Namespace) -> Iterator[Run]:
    """List the runs, that of the image model first; all of a seed before the next."""
    yield Run(IMAGES_NAME, 'space', 'random', 'all', str(args.image_epochs), '0')
    for data, seed in itertools.product(args.data, range(args.seeds)):
        for (start, learns), scheme in itertools.product(WAYS, args.schemes):
            if learns != 'added' or scheme in WITH_ADDED:
                yield Run(data.name, scheme, start, learns, str(data.epochs), str(seed))


def rows_of(runs: list[Run], args: argparse.Namespace) -> Iterator[list]:
    """Do the runs, several at a time, each on one core; the image model's before all others."""
    jobs = [(run, args) for run in runs]
    if runs and runs[0].data == IMAGES_NAME:
        yield train_and_test(jobs.pop(0))
    for data in args.data:
        clips_of(data, args.out)  # before several would decode them
    if args.processes == 1:
        yield from map(train_and_test, jobs)
        return
    with multiprocessing.get_context('spawn').Pool(args.processes, torch.set_num_threads, [1]) as pool:
        yield from pool.imap_unordered(train_and_test, jobs)


def train_and_test(job: tuple[Run, argparse.Namespace]) -> list:
    """Train and test, and return a row of the table."""
    run, args = job
    data = next((data for data in args.data if data.name == run.data), None)
    train, test = clips_of(data, args.out) if data else [read_images(args.images, part) for part in ('train', 't10k')]
    torch.manual_seed(int(run.seed))
    start = args.out / IMAGE_MODEL if run.start == 'image' else None
    sizes = (train[0].shape[2], int(train[1].max()) + 1)
    model = build(SCHEMES[run.scheme], *sizes, start, FROZEN[run.learns])
    begin = time.process_time()
    fit(model, *train, int(run.epochs), RATES[run.learns])
    seconds = time.process_time() - begin
    if not data:
        write(model.state_dict(), {}, args.out / IMAGE_MODEL)
    return [*run, rounded(accuracy(model, *test)), rounded(seconds, 1)]


def clips_of(data: Data, out: Path) -> list[Samples]:
    """Return the training and test clips of a data set, which are decoded once."""
    path = out / f'{data.name}.pt'
    if not path.exists():
        with written_whole(path) as part:
            torch.save(read_clips((data.train, data.test)), part)
    return torch.load(path)


def write_report(out: Path) -> None:
    """Write ``report.md`` and a picture for each data set, from ``starts.csv`` in the same folder."""
    lines = ['# Starts', '', 'Top-1 on the test videos: mean of the seeds, the lowest to the highest in brackets.', '']
    for name, columns in read(out / RESULTS).items():
        lines += [f'## {name}', '', *table('scheme', columns, {}), '']
        if not name.startswith(IMAGES_NAME):
            picture = f'{name.replace(", ", "_").replace(" ", "_")}.png'
            lines += [*answers(columns), '', f'![{name}]({picture})', '']
            draw(columns, out / picture)
    (out / 'report.md').write_text('\n'.join(lines))


def read(file: Path) -> dict[str, dict[str, Accuracies]]:
    """Read the accuracies by data set and epochs, start with what learns, and scheme."""
    order = {'scheme': list(SCHEMES), 'way': [', '.join(way) for way in WAYS]}
    rows = [row | dict(way=f'{row["start"]}, {row["learns"]}') for row in read_table(file)]
    results: dict = {}
    # rows are in the order in which a pool's runs ended
    for row in sorted(rows, key=lambda row: [names.index(row[column]) for column, names in order.items()]):
        columns = results.setdefault(f'{row["data"]}, {row["epochs"]} epochs', {})
        columns.setdefault(row['way'], {}).setdefault(row['scheme'], []).append(float(row['top1']))
    return results


def answers(columns: dict[str, Accuracies]) -> list[str]:
    """Say of every scheme whether every seed of the way that would be better is above every seed of the other."""
    lines = []
    for question, (better, worse) in QUESTIONS.items():
        said: dict[str, list[str]] = {}
        for scheme in (scheme for scheme in columns[better] if scheme in columns[worse]):
            said.setdefault(relation(columns[better][scheme], columns[worse][scheme]), []).append(scheme)
        findings = [f'{word}: {", ".join(names)}' for word, names in said.items()]
        lines.append(f'- {question}: {"; ".join(findings)}.')
    return lines


if __name__ == '__main__':
    main()
