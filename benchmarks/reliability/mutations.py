#!/usr/bin/env python
"""Read mutated copies of real videos by the training pipeline with both decoders, and count what becomes of them:

python benchmarks/reliability/mutations.py --copies 1000
python benchmarks/reliability/mutations.py --copies 1000 --source /videos
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from multiprocessing import Process, SimpleQueue
from pathlib import Path

import numpy as np
from mmengine.registry import init_default_scope

sys.path.insert(0, str(Path(__file__).parents[2] / 'tests'))
from runs import ROOT, TINY
from videos import write_video

import mmtsf  # noqa: F401  # registers
from mmtsf.config import load_config
from mmtsf.datasets.decoders import DECODERS
from mmtsf.engine.runner.runner import Runner

SUFFIXES = ('.mp4', '.avi', '.webm')
CODECS = dict(zip(SUFFIXES, ('libx264', 'mpeg4', 'libvpx-vp9')))
HEADER = 1024  # bytes
ROW = '| {decoder} | {copies} | {read} | {refused} | {hangs} | {crashes} | {dead_runs} | {seconds:.0f} |'


def write_sources(folder: Path) -> list[Path]:
    """Write 40 frames of moving noise in each container format."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 168, 3), dtype=np.uint8).repeat(2, 0).repeat(2, 1)
    frames = [noise[:96, shift : shift + 128] for shift in range(0, 160, 4)]
    return [Path(write_video(folder / f'source{suffix}', frames, codec=CODECS[suffix])) for suffix in SUFFIXES]


def flip(data: bytearray, _: bytes, rng: np.random.Generator) -> bytearray:
    """Change up to 1 % of the bytes, anywhere."""
    for place in rng.integers(len(data), size=rng.integers(1, len(data) // 100 + 2)):
        data[place] ^= int(rng.integers(1, 256))
    return data


def flip_in_header(data: bytearray, _: bytes, rng: np.random.Generator) -> bytearray:
    """Change a few bytes near both ends, where containers keep their headers and indices."""
    for place in rng.integers(-HEADER, HEADER, size=rng.integers(1, 9)):
        data[place % len(data)] ^= int(rng.integers(1, 256))
    return data


def cut(data: bytearray, _: bytes, rng: np.random.Generator) -> bytearray:
    return data[: rng.integers(len(data))]


def swap_header(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    """Replace the beginning of a file by another file's."""
    size = int(rng.integers(16, HEADER))
    data[:size] = other[:size]
    return data


MUTATIONS = (flip, flip_in_header, cut, swap_header)


def write_copies(sources: list[Path], folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Write mutated copies of the files, each in one of four ways."""
    rng = np.random.default_rng(seed)
    paths = []
    for number in range(count):
        source, other = sources[number % len(sources)], sources[rng.integers(len(sources))]
        mutate = MUTATIONS[rng.integers(len(MUTATIONS))]
        paths.append(folder / f'{number:04}_{mutate.__name__}{source.suffix}')
        paths[-1].write_bytes(mutate(bytearray(source.read_bytes()), other.read_bytes(), rng))
    return paths


def read_all(folder: Path, copies: list[Path], whole: list[Path], decoder: str) -> list[str]:
    """Run one training epoch over the copies and as many intact videos, and return each copy's outcome."""
    init_default_scope('mmtsf')
    videos = [*copies, *(whole[i % len(whole)] for i in range(len(copies)))]
    (folder / 'train_list.txt').write_text(''.join(f'{video} 0\n' for video in videos))
    options = {'decoder': decoder, 'data.source': 'list', 'data.root': str(folder), 'data.time_limit': 20}
    options |= {'data.allow_outside': True, 'train_dataloader.sampler.shuffle': False}
    options |= {'train_dataloader.batch_size': 8, 'train_dataloader.num_workers': 2}
    loader = Runner.build_dataloader(load_config(str(ROOT / TINY), options).train_dataloader, seed=0)
    samples = [sample.metainfo for batch in loader for sample in batch['data_samples']]
    if len(samples) != len(videos):
        raise RuntimeError(f'{len(videos)} samples were asked for, and {len(samples)} came')
    return [fate(str(video), sample) for video, sample in zip(copies, samples)]


def fate(video: str, sample: dict) -> str:
    """Return the outcome of the video that this sample asked for."""
    if not sample['broken']:
        return 'read' if sample['filename'] == video else 'lost'
    path, reason = sample['broken'][0]
    if path != video or not reason.startswith(video) or len(reason) < len(video) + 10:
        return 'unnamed'
    return 'hangs' if 'could not be read within' in reason else 'crashes' if 'exit code' in reason else 'refused'


def try_copies(sources: list[Path], count: int, decoder: str, seed: int = 0) -> dict:
    """Make the table's row for a decoder; the epoch runs in a separate process, which may crash."""
    fates: SimpleQueue[list[str]] = SimpleQueue()
    begin = time.time()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = [path for path in sources if path.suffix == '.mp4'] if decoder == 'decord' else sources
        copies = write_copies(sources, folder, count, seed)
        run = Process(target=lambda: fates.put(read_all(folder, copies, whole, decoder)))
        run.start()
        run.join()
    row = dict(decoder=decoder, copies=count, seconds=time.time() - begin, dead_runs=int(run.exitcode != 0))
    row |= dict.fromkeys(('read', 'refused', 'hangs', 'crashes'), 0)
    return row if fates.empty() else row | Counter(fates.get())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--copies', type=int, default=1000)
    parser.add_argument(
        '--source', type=Path, nargs='*', default=[], help='folders of videos (default: three are written)'
    )
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    print('| decoder | copies | read | refused, reason named | hangs | dead workers | dead runs | seconds |')
    print('|---|---|---|---|---|---|---|---|')
    with tempfile.TemporaryDirectory() as folder:
        found = [path for source in args.source for path in sorted(source.rglob('*')) if path.suffix in SUFFIXES]
        sources = found or write_sources(Path(folder))
        for decoder in sorted(DECODERS, reverse=True):
            print(ROW.format(**try_copies(sources, args.copies, decoder, args.seed)), flush=True)


if __name__ == '__main__':
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    main()
