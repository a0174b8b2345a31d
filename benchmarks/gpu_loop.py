"""Measure the training loop from video files: its rate, its start, and what checkpoints cost it."""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np
from data import our_pipeline, rate_of_all_cores
from gpu_models import BATCHES, Row, attempt

from mmtsf.utils.cores import num_cores

ROOT = Path(__file__).parents[1]
#: Real videos, if they are there
FIGHTS = ROOT.parent / 'shared/data/fights'
CONFIG = ROOT / 'configs/timesformer_base_k400.py'
#: Changes that make the base model one of seconds on a CPU
TINY = {
    'clip.num_frames': 4,
    'clip.size': 32,
    'clip.jitter': '(32,40)',
    'model.backbone.embed_dims': 24,
    'model.backbone.num_heads': 2,
    'model.backbone.num_layers': 1,
    'train_dataloader.num_workers': 1,
}


#: Seconds after which a training from files is ended, if the time of all measurements is not over before
LONGEST_RUN = 150


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Args:
        files (int): Videos of 340 x 256 that are made, and as many small ones.
        frames (int): Frames of each.
        batch (int): Clips of a batch.
        iters (int): Iterations of the loop that count.
        warm_up (int): Iterations before.
        checkpoint (int): Iterations that count before the checkpoint, and again after it.
        seconds (float): Seconds for which all cores decode.
    """

    files: int = 128
    frames: int = 300
    batch: int = BATCHES['base']
    iters: int = 80
    warm_up: int = 10
    checkpoint: int = 50
    seconds: float = 5


def sizes_of(args: argparse.Namespace) -> Sizes:
    return Sizes(2, 40, 2, 4, 4, 2, 0.1) if args.tiny else Sizes()


def write_clip(folder: Path, sizes: Sizes, size: tuple[int, int], number: int) -> None:
    """Write a video with H.264 of x264's defaults, of a real one there and back, or of textures that move."""
    width, height = size
    sources = sorted(FIGHTS.glob('*/*.mp4'))
    frames = real_frames(sources[number % len(sources)], size) if sources else textures(number, size)
    with av.open(str(folder / f'{number:03}.mp4'), 'w') as container:
        stream = container.add_stream('libx264', rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.thread_count = width, height, 'yuv420p', 1
        for _, frame in zip(range(sizes.frames), frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode())


def real_frames(path: Path, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield the frames of a video there and back, without end."""
    with av.open(str(path)) as container:
        sized = dict(format='rgb24', width=size[0], height=size[1])
        frames = [frame.to_ndarray(**sized) for frame in container.decode(video=0)]
    while True:
        yield from frames
        yield from frames[-2:0:-1]


def textures(seed: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield frames of a texture that passes behind another, with some noise, without end."""
    random, (width, height) = np.random.default_rng(seed), size
    coarse = random.integers(0, 256, (2, height // 8 + 1, width // 8 + 1, 3), np.uint8)
    behind, front = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    noise = random.integers(0, 12, (16, height, width, 3), np.uint8)
    steps, place = random.integers(1, 4, 2), 0
    top, left = height // 4, width // 4
    while True:
        frame = np.roll(behind, place * steps, axis=(0, 1)) // 2 + noise[place % len(noise)]
        moved = np.roll(front, -2 * place, axis=1)[top : 3 * top, left : 3 * left]
        frame[top : 3 * top, left : 3 * left] = moved // 2 + 64
        yield frame
        place += 1


def make_videos(folder: Path, sizes: Sizes, size: tuple[int, int]) -> None:
    """Make videos on all cores, and a list of so many of them that no epoch ends."""
    folder.mkdir()
    with multiprocessing.get_context('fork').Pool(num_cores()) as pool:
        pool.map(partial(write_clip, folder, sizes, size), range(sizes.files), chunksize=1)
    names = sorted(path.name for path in folder.glob('*.mp4'))
    lines = [f'{name} {number % 2}\n' for number, name in enumerate(names * (20_000 // len(names) + 1))]
    (folder / 'train_list.txt').write_text(''.join(lines))


def train(folder: Path, cache: Path, args: argparse.Namespace, *words: str) -> dict:
    """Train from files in a process of its own, and return its clocks; ``first_step`` in seconds from its start.

    It is ended at ``args.deadline``.
    """
    sizes, clocks = sizes_of(args), folder / 'clocks.json'
    changes = {
        'data.source': 'list',
        'data.root': folder,
        'start': None,
        'batch_size': sizes.batch,
        'global_batch_size': sizes.batch,
        **(TINY if args.tiny else {}),
    }
    options = [f'{key}={value}' for key, value in changes.items()]
    python = os.environ.get('PYTHON', sys.executable)  # as our shell scripts choose it
    command = [python, ROOT / 'benchmarks/train.py', CONFIG, '--warm-up', sizes.warm_up, '--json', clocks]
    command += ['--amp', 'bfloat16', *words, '--cfg-options', *options]
    caches = dict(TORCHINDUCTOR_CACHE_DIR=str(cache / 'inductor'), TRITON_CACHE_DIR=str(cache / 'triton'))
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    start = time.time()
    run = subprocess.run(
        list(map(str, command)),
        env=dict(os.environ, **caches, PYTHONPATH=path, XDG_CACHE_HOME=str(cache)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=min(LONGEST_RUN, args.deadline - time.monotonic()),
    )
    if run.returncode:
        raise RuntimeError(f'benchmarks/train.py: {run.stdout.strip().splitlines()[-1]}')
    measured = json.loads(clocks.read_text())
    return dict(measured, first_step=measured['first_step'] - start)


def from_files(args: argparse.Namespace) -> Iterator[Row]:
    """Measure the loop on new videos with an empty cache of compiled code, then checkpoints with the cache it left."""
    sizes = sizes_of(args)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder, cache = Path(name, 'videos'), Path(name, 'cache')
        start = time.monotonic()
        make_videos(folder, sizes, (340, 256))
        source = 'real' if FIGHTS.is_dir() else 'synthetic'
        seconds = time.monotonic() - start
        yield Row('making videos', 'all cores', seconds, 's', note=f'{sizes.files}, {source}; {num_cores()} cores')
        videos = sorted(map(str, folder.glob('*.mp4')))
        decoded = rate_of_all_cores(our_pipeline(None), videos, sizes.seconds)
        yield Row('decoding', 'all cores', decoded, 'clips/s', note='340 x 256, the training pipeline')
        yield from attempt(loop(folder, cache, args), 'from files', 'ours')
        small = Path(name, 'small')
        make_videos(small, sizes, (64, 48))
        yield from attempt(checkpoints(small, cache, args), 'checkpoints', 'ours')


def loop(folder: Path, cache: Path, args: argparse.Namespace) -> Iterator[Row]:
    """Measure the rate of the loop, and its start."""
    sizes = sizes_of(args)
    measured = train(folder, cache, args, '--iters', str(sizes.warm_up + sizes.iters))
    yield Row('start, cold cache', 'ours', measured['first_step'], 's', measured['clips'])
    seconds, waiting = sum(measured['seconds']), sum(measured['waiting'])
    rate = measured['clips'] * len(measured['seconds']) / seconds
    note = f'{waiting / seconds:.1%} waiting for data, {measured["workers"]} workers'
    yield Row('from files', 'ours', rate, 'clips/s', measured['clips'], measured['gigabytes'], note)


def checkpoints(folder: Path, cache: Path, args: argparse.Namespace) -> Iterator[Row]:
    """Measure what a checkpoint adds to the iterations after it, on videos that nobody waits for."""
    part = sizes_of(args).checkpoint
    words = ['--iters', sizes_of(args).warm_up + 2 * part, '--checkpoint', part]
    measured = train(folder, cache, args, *map(str, words))
    yield Row('start, warm cache', 'ours', measured['first_step'], 's', measured['clips'])
    seconds = measured['seconds']
    usual, added = sum(seconds[:part]) / part, sum(seconds[part:]) - sum(seconds[:part])
    note = f'{1e3 * added:.0f} ms more in {part} iterations after it than in as many before, of {1e3 * usual:.1f} ms'
    yield Row('checkpoints', 'ours', added / (100 * usual), '%', measured['clips'], measured['gigabytes'], note)
