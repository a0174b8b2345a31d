#!/usr/bin/env python
"""Kill actors, machines and drivers of a Ray cluster at random moments while it works through videos.

python benchmarks/reliability/batch_kills.py CLIPS CONFIG CHECKPOINT --kills 10

Two machines of one CPU each, as Ray sees them, extract features. Every kind of kill is done so many times, a killed
driver is begun again, and a machine is replaced. At the end each video must have one row, the one that the local engine
writes. CLIPS is a folder of videos, repeated by links to --rows.
"""

import argparse
import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch
from pyarrow import parquet
from ray.cluster_utils import Cluster

ROOT = Path(__file__).parents[2]
NODE = dict(num_cpus=1, object_store_memory=10**8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('clips', type=Path)
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--rows', type=int, default=2000)
    parser.add_argument('--kills', type=int, default=10, help='of each kind')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    random.seed(args.seed)
    torch.set_num_threads(1)
    os.environ['OMP_NUM_THREADS'] = '1'
    cluster = Cluster(initialize_head=True, head_node_args=dict(NODE, include_dashboard=False))
    machine = cluster.add_node(**NODE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        videos = linked(args.clips, args.rows, folder / 'videos')
        words = [str(videos), args.config, args.checkpoint, '--device', 'cpu']
        out, began = folder / 'ray.parquet', 0
        driver = start(words, out, cluster.address)
        kinds = random.sample(['actor', 'machine', 'driver'] * args.kills, 3 * args.kills)
        for kind in kinds:
            target, end = len(parts_in(out)), time.monotonic() + random.uniform(2, 15)
            while (time.monotonic() < end or not len(parts_in(out)) > target) and driver.poll() is None:
                time.sleep(0.05)
            if driver.poll() is not None:
                print(f'the work ended before the kill of: {kind}; give more --rows')
                break
            if kind == 'actor' and (found := actors()):
                random.choice(found).kill()
            elif kind == 'machine':
                cluster.remove_node(machine, allow_graceful=False)
                machine = cluster.add_node(**NODE)
            else:
                driver.kill()
                driver.wait()
                driver = start(words, out, cluster.address)
            began += 1
            print(f'{kind}: {len(parts_in(out))} parts are there', flush=True)
        assert driver.wait() == 0, 'the last driver failed'
        command = [sys.executable, '-m', 'mmtsf', 'features', *words, str(folder / 'here.parquet')]
        subprocess.run(command, cwd=ROOT, check=True)
        rows, here = (parquet.read_table(folder / name).to_pylist() for name in ('ray.parquet', 'here.parquet'))
        same = [{key: row[key] for key in here[0]} for row in rows] == here
        print(f'{began} kills; {len(rows)} rows of {args.rows} videos; the same as on this machine: {same}')
        assert same
    cluster.shutdown()


def linked(clips: Path, count: int, videos: Path) -> Path:
    """Make a folder of so many links to clips."""
    found = sorted(path.resolve() for path in clips.rglob('*') if path.suffix in ('.mp4', '.avi'))[:300]
    videos.mkdir()
    for number, clip in zip(range(count), itertools.cycle(found)):
        (videos / f'{number:06}{clip.suffix}').symlink_to(clip)
    return videos


def start(words: list[str], out: Path, address: str) -> subprocess.Popen:
    """Begin the command."""
    command = [sys.executable, '-m', 'mmtsf', 'features', *words, str(out), '--engine', 'ray', '--address', address]
    return subprocess.Popen(command, cwd=ROOT)


def parts_in(out: Path) -> list[Path]:
    """Return the parts that are written."""
    return list(out.glob('part-*'))


def actors() -> list[psutil.Process]:
    """Return the actors of this cluster."""
    ours = psutil.Process().children(recursive=True)
    return [process for process in ours if process.name().startswith('ray::MapWorker')]


if __name__ == '__main__':
    main()
