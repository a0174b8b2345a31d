#!/usr/bin/env python
"""Measure clips per second from single files and from shards, on the disk and over HTTP, and how a window shuffles.

python benchmarks/shards.py VIDEOS                   VIDEOS holds a folder for each class
python benchmarks/shards.py VIDEOS --delays 0 20 100  milliseconds that the server waits before each answer
python benchmarks/shards.py --order                   how mixed batches are, without any videos

The videos are packed into shards as they are, so that all ways decode the same bytes, by the training pipeline of a
config (8 x 32, 224 pixels), in two workers. HTTP is a server with ranges on loopback, in a process of its own. An epoch
is timed after one that is not; the epochs of all ways take turns, and figures are medians.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from mmtsf.commands import new_command
from mmtsf.config import load_config
from mmtsf.datasets import SeededSampler
from mmtsf.datasets.loading import SeededIndex, VideoLoader
from mmtsf.datasets.shards import read_index
from mmtsf.datasets.transforms import flat_collate
from mmtsf.registry import DATASETS

CONFIG = str(Path(__file__).parents[1] / 'configs/timesformer_base_k400.py')
#: Shards that are read at a time where copies of them are kept
WINDOW = 4


class Served(BaseHTTPRequestHandler):
    """Answer with ranges of files, after a delay, and count."""

    protocol_version = 'HTTP/1.1'
    root: Path
    delay: Any
    counts: Any

    def do_GET(self) -> None:
        self._answer(is_asked=True)

    def do_HEAD(self) -> None:
        self._answer(is_asked=False)

    def _answer(self, is_asked: bool) -> None:
        time.sleep(self.delay.value / 1000)
        file = self.root / self.path.lstrip('/')
        with self.counts.get_lock():
            self.counts[0] += 1
        if not file.is_file():
            self.send_response(404)
            self.send_header('Content-Length', '0')
            self.end_headers()
            return
        size = file.stat().st_size
        asked = self.headers.get('Range', f'bytes=0-{size - 1}').removeprefix('bytes=').split('-')
        first, last = int(asked[0]), min(int(asked[1] or size - 1), size - 1)
        self.send_response(206 if 'Range' in self.headers else 200)
        self.send_header('Content-Length', str(last + 1 - first))
        self.send_header('Content-Range', f'bytes {first}-{last}/{size}')
        self.send_header('Accept-Ranges', 'bytes')
        self.end_headers()
        if is_asked:
            with file.open('rb') as data:
                data.seek(first)
                self.wfile.write(data.read(last + 1 - first))
            with self.counts.get_lock():
                self.counts[1] += last + 1 - first

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(root: Path, delay: Any, counts: Any) -> Iterator[str]:
    """Serve a folder on loopback from another process."""
    server = ThreadingHTTPServer(
        ('127.0.0.1', 0), type('Server', (Served,), dict(root=root, delay=delay, counts=counts))
    )
    process = multiprocessing.get_context('fork').Process(target=server.serve_forever, daemon=True)
    process.start()
    yield f'http://127.0.0.1:{server.server_port}'
    process.kill()
    server.server_close()


class Way(NamedTuple):
    """A way to read the videos.

    Attributes:
        loader (VideoLoader): Its data loader.
        delay (float): Milliseconds before each answer.
        cache (Path, optional): Copies of shards, which each epoch begins without. Defaults to None: there are none.
    """

    loader: Any
    delay: float
    cache: Path | None = None

    def epoch(self, number: int) -> int:
        """Read all clips; return how many there are."""
        if self.cache:
            shutil.rmtree(self.cache, ignore_errors=True)
            os.environ['MMTSF_CACHE'] = str(self.cache)  # for workers that begin now
        self.loader.sampler.set_epoch(number)
        clips = sum(len(batch['inputs']) for batch in self.loader)
        os.environ.pop('MMTSF_CACHE', None)
        return clips


def make_data(videos: Path, folder: Path, size: int) -> int:
    """Copy the videos, write a list of them, and pack them into shards; return how many there are."""
    classes = sorted(path.name for path in videos.iterdir() if path.is_dir())
    lines = []
    for label, name in enumerate(classes):
        shutil.copytree(videos / name, folder / 'files' / name)
        lines += [f'{name}/{path.name} {label}' for path in sorted((folder / 'files' / name).iterdir())]
    (folder / 'files/list.txt').write_text('\n'.join(lines))
    command, parser = new_command('transcode')
    words = [folder / 'files/list.txt', folder / 'shards/train', '--shards', size, '--copy']
    args = parser.parse_args([*map(str, words)])
    command.check(args)
    command.run(args)
    return len(classes)


def loader_of(root: str, num_classes: int, source: str, **more: Any) -> VideoLoader:
    """A data loader of training with two workers."""
    options = {'data.root': root, 'data.source': source, 'data.num_classes': num_classes, **more}
    if source == 'list':
        options['data.train_list'] = 'list.txt'
    dataset = DATASETS.build(load_config(CONFIG, options).train_dataloader.dataset)
    sampler = SeededSampler(dataset, shuffle=True, seed=0)
    return VideoLoader.of(DataLoader(dataset, 8, sampler=sampler, num_workers=2, collate_fn=flat_collate))


def ways_of(folder: Path, address: str, num_classes: int, delays: list[float]) -> dict[str, Way]:
    """All ways by their names in the table."""
    of = partial(loader_of, num_classes=num_classes)
    ways = {
        'files, disk': Way(of(str(folder / 'files'), source='list'), 0),
        'shards, disk': Way(of(str(folder / 'shards'), source='shards'), 0),
    }
    for delay in delays:
        cache = folder / f'cache {delay:g}'
        place = f'HTTP, {delay:g} ms'
        ways |= {
            f'files, {place}': Way(of(f'{address}/files', source='list'), delay),
            f'shards, {place}': Way(of(f'{address}/shards', source='shards'), delay),
            f'shards in a cache, {place}': Way(
                of(f'{address}/shards', source='shards', **{'data.window': WINDOW}), delay, cache
            ),
        }
    return ways


def compare(ways: dict[str, Way], rounds: int, delay: Any, counts: Any) -> None:
    """Print the table."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    traffic: dict[str, list[float]] = {}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            delay.value, counts[0], counts[1] = way.delay, 0, 0
            start = time.perf_counter()
            clips = way.epoch(turn)
            seconds[name].append((time.perf_counter() - start) / clips)
            traffic[name] = [counts[0] / clips, counts[1] / clips]
    print('| | clips/s | to files on the disk | requests a clip | kB a clip |\n|---|---|---|---|---|')
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    for name, median in medians.items():
        requests, size = traffic[name]
        ratio = medians['files, disk'] / median
        print(f'| {name} | {1 / median:.1f} | {ratio:.2f} | {requests:.2f} | {size / 1000:.1f} |', flush=True)


def compare_cpu(ways: dict[str, Way], rounds: int, delay: Any, clips: int = 60) -> None:
    """Print the processor's time that a clip takes in this process, which other work on the machine hardly changes."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            delay.value, order = way.delay, np.random.default_rng(0).permutation(len(way.loader.dataset))[:clips]
            if way.cache:
                os.environ['MMTSF_CACHE'] = str(way.cache)
            start = time.process_time()
            for index in order.tolist():
                way.loader.dataset[SeededIndex(index, (0, index))]
            times[name].append((time.process_time() - start) / clips)
            os.environ.pop('MMTSF_CACHE', None)
    print('| | ms of one core a clip |\n|---|---|')
    for name, found in times.items():
        print(f'| {name} | {1000 * statistics.median(found[1:]):.1f} |', flush=True)


class Numbers:
    """Stands for a data set of shards."""

    def __init__(self, shards: int, videos: int, window: int | None) -> None:
        self.shards, self.videos, self.window = shards, videos, window

    def __len__(self) -> int:
        return self.shards * self.videos

    def shard_of(self, index: int) -> int:
        return index // self.videos


def measure_order(shards: int = 400, videos: int = 250, batch: int = 64, classes: int = 100) -> None:
    """Print how the classes of a batch differ from chance, and how many shards it is of.

    The first is chi-squared by its degrees of freedom: 1 for samples that are drawn at random.
    """
    labels = np.random.default_rng(0).integers(0, classes, shards * videos)
    print(f'{shards} shards of {videos} videos of {classes} classes, batches of {batch}, three epochs\n')
    print('| window | classes of a batch, dealt out | sorted by class | shards of a batch |\n|---|---|---|---|')
    for window in (None, 1, 2, 4, 8, 16, 32):
        sampler = SeededSampler(Numbers(shards, videos, window), shuffle=True, seed=0)
        found: list[tuple[float, float, float]] = []
        for epoch in range(3):
            sampler.set_epoch(epoch)
            order = np.array([int(index) for index in sampler])[: len(labels) // batch * batch].reshape(-1, batch)
            spread = float(np.mean([len(np.unique(row)) for row in order // videos]))
            found.append((chi_squared(labels[order]), chi_squared(np.sort(labels)[order]), spread))
        dealt, by_class, spread = np.mean(found, axis=0)
        print(f'| {window or "none: full"} | {dealt:.3f} | {by_class:.2f} | {spread:.1f} |', flush=True)


def chi_squared(batches: np.ndarray) -> float:
    """Mean over batches ``(N, B)`` of labels."""
    share = np.bincount(batches.ravel()) / batches.size
    counts = np.stack([(batches == label).sum(1) for label in range(len(share))], 1)
    expected = batches.shape[1] * share
    return float(((counts - expected) ** 2 / expected).sum(1).mean() / (len(share) - 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('videos', type=Path, nargs='?', help='folder of class folders')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--size', type=int, default=50, help='videos a shard (default: 50)')
    parser.add_argument('--delays', type=float, nargs='+', default=[0, 20], help='milliseconds (default: 0 20)')
    parser.add_argument('--cpu', action='store_true', help="the processor's time of a clip alone")
    parser.add_argument('--order', action='store_true', help='how mixed batches are')
    args = parser.parse_args()
    if args.order:
        measure_order()
        return
    init_default_scope('mmtsf')
    torch.set_num_threads(1)
    delay, counts = multiprocessing.Value('d', 0), multiprocessing.Array('q', 2)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), delay, counts) as address:
        num_classes = make_data(args.videos, Path(folder), args.size)
        sizes = [video.size for shard in read_index(Path(folder, 'shards/train')).shards for video in shard.videos]
        print(json.dumps(dict(videos=len(sizes), mean_kB=round(np.mean(sizes) / 1000, 1))))
        ways = ways_of(Path(folder), address, num_classes, args.delays)
        compare_cpu(ways, args.rounds, delay)
        if not args.cpu:
            compare(ways, args.rounds, delay, counts)


if __name__ == '__main__':
    main()
