#!/usr/bin/env python
"""Measure clips per second and core from video file to tensor, beside MMAction2's pipeline and the bare decoder.

python benchmarks/data.py VIDEO [VIDEO ...]             time, one row a file
python benchmarks/data.py VIDEO [VIDEO ...] --long 10000  memory of one worker over so many clips
python benchmarks/data.py VIDEO [VIDEO ...] --all-cores 10  ours alone, on all cores for so many seconds

Ours is the training pipeline of a config (8 x 32, 224 pixels), MMAction2's does the same work: the same frames,
jitter, crop and flip, whose pixels are compared before anything is timed. The bare decoder is decord handing out the
same frames and nothing else. One thread, medians of interleaved rounds.
"""

import argparse
import itertools
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from mmaction.registry import TRANSFORMS as MMACTION2
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from timing import medians

from mmtsf.config import load_config
from mmtsf.utils.cores import num_cores

CONFIG = str(Path(__file__).parents[1] / 'configs/timesformer_base_k400.py')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('videos', nargs='+')
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--decoder', help="ours decode with this one (default: the config's)")
    parser.add_argument('--long', type=int, metavar='CLIPS', help='memory of one worker instead of time')
    parser.add_argument('--all-cores', type=float, metavar='SECONDS', help='clips per second of a process on each core')
    return parser.parse_args()


def our_pipeline(decoder: str | None) -> Compose:
    options = {'decoder': decoder} if decoder else {}
    init_default_scope('mmtsf')
    return Compose(load_config(CONFIG, options).train_dataloader.dataset.pipeline)


def mmaction2_pipeline() -> Compose:
    transforms = [
        dict(type='DecordInit', num_threads=1),
        dict(type='SampleFrames', clip_len=8, frame_interval=32, num_clips=1),
        dict(type='DecordDecode'),
        dict(type='RandomRescale', scale_range=(256, 320)),
        dict(type='RandomCrop', size=224),
        dict(type='Flip', flip_ratio=0.5),
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackActionInputs'),
    ]
    return Compose([MMACTION2.build(transform) for transform in transforms])


def sample(path: str) -> dict:
    """Make the dict that a data set passes to its pipeline."""
    return dict(filename=path, label=0, modality='RGB', start_index=0, broken=[])


def bare_decoder(path: str) -> np.ndarray:
    import decord  # only here: what runs on all cores does without it

    video = decord.VideoReader(path, num_threads=1)
    start = np.random.randint(0, max(len(video) - 7 * 32, 1))
    return video.get_batch((start + 32 * np.arange(8)).clip(max=len(video) - 1)).asnumpy()


def check(ours: Compose, theirs: Compose, path: str) -> None:
    """Raise if pixels of the same frames with the same augmentation are not the same, but for rounding."""
    results = sample(path)
    for transform in ours.transforms[:2]:
        results = transform(results)
    frames = results['frame_inds']
    clips = []
    for pipeline, state in ((ours, results), (theirs, theirs.transforms[0](sample(path)))):
        np.random.seed(0)
        random.seed(0)
        state = dict(state, frame_inds=frames.copy(), clip_len=8, num_clips=1)
        samples = Compose(pipeline.transforms[2:])(state)
        clips.append((samples[0] if isinstance(samples, list) else samples)['inputs'])
    difference = float((clips[0].float() - clips[1].float()).abs().mean())
    if not difference < 1:
        raise RuntimeError(f'{path}: pixels of the two pipelines are {difference:.1f} of 255 apart')


def compare(ours: Compose, path: str, rounds: int) -> None:
    """Print a file's row of the table."""
    theirs = mmaction2_pipeline()
    check(ours, theirs, path)
    functions: dict[str, Callable] = {
        'ours': lambda: ours(sample(path)),
        'MMAction2': lambda: theirs(sample(path)),
        'decord': lambda: bare_decoder(path),
    }
    rates = {name: 1 / seconds for name, seconds in medians(functions, rounds).items()}
    height, width = bare_decoder(path).shape[1:3]
    figures = f'{rates["ours"]:.1f} | {rates["MMAction2"]:.1f} | {rates["decord"]:.1f}'
    ratios = f'{rates["ours"] / rates["MMAction2"]:.2f} | {rates["ours"] / rates["decord"]:.2f}'
    print(f'| {Path(path).name} | {width} x {height} | {figures} | {ratios} |', flush=True)


class Videos(torch.utils.data.Dataset):
    """Repeat the videos; each sample holds the memory of the process that read it, in MB."""

    def __init__(self, pipeline: Compose, videos: list[str], length: int) -> None:
        self.pipeline, self.videos, self.length = pipeline, videos, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> float:
        self.pipeline(sample(self.videos[index % len(self.videos)]))
        return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6


def watch_memory(pipeline: Compose, videos: list[str], clips: int) -> None:
    """Print the memory of one worker after each tenth of the clips."""
    loader = torch.utils.data.DataLoader(Videos(pipeline, videos, clips), 1, num_workers=1, collate_fn=pseudo_collate)
    for number, (megabytes,) in enumerate(loader, 1):
        if number % max(clips // 10, 1) == 0:
            print(f'{number:6} clips: {megabytes:.0f} MB', flush=True)


def rate_of_all_cores(pipeline: Compose, videos: list[str], seconds: float) -> float:
    """Return clips per second of one process on each core, together: the most that data workers can load."""
    context = multiprocessing.get_context('fork')
    with context.Pool(num_cores()) as pool:
        work = partial(_rate, pipeline, videos, time.monotonic() + seconds)
        return sum(pool.map(work, range(num_cores()), chunksize=1))


def _rate(pipeline: Compose, videos: list[str], end: float, number: int) -> float:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    np.random.seed(number)
    start, clips = time.monotonic(), 0
    for path in itertools.islice(itertools.cycle(videos), number, None):
        pipeline(sample(path))
        clips += 1
        if time.monotonic() > end:
            break
    return clips / (time.monotonic() - start)


def main() -> None:
    args = parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    ours = our_pipeline(args.decoder)
    if args.long:
        watch_memory(ours, args.videos, args.long)
        return
    if args.all_cores:
        rate = rate_of_all_cores(ours, args.videos, args.all_cores)
        print(f'{rate:.1f} clips/s on {num_cores()} cores')
        return
    print('| file | size | ours, clips/s | MMAction2 | decord alone | ours / MMAction2 | ours / decord |')
    print(f'|{"---|" * 7}')
    for path in args.videos:
        compare(ours, path, args.rounds)


if __name__ == '__main__':
    main()
