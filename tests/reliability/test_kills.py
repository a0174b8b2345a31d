"""Runs that are killed, and end with the weights of a run that was not."""

import os
import random
import signal
import time
from collections import Counter

import pytest
import warm
from kills import compare, table
from runs import ROOT, run_tool
from videos import write_greys

from mmtsf.datasets.shards import read_index

pytestmark = pytest.mark.long


def test_runs_that_are_killed_at_random_moments_end_bit_for_bit_like_one_that_was_not(motion, tmp_path):
    check(compare(3, tmp_path, motion))


def test_so_do_those_that_read_shards(motion, tmp_path):
    run_tool('tools/data/transcode.py', motion, tmp_path / 'shards', '--shards', 5, '--copy')
    check(compare(3, tmp_path, tmp_path / 'shards', window=2))


def check(figures: dict) -> None:
    print(table(figures))
    assert figures['hits'].total() == 3
    assert not figures['lost']
    assert not figures['differing']


def test_writing_shards_that_is_killed_ten_times_leaves_each_video_once(tmp_path):
    for number in range(120):
        (tmp_path / f'videos/{number % 3}').mkdir(parents=True, exist_ok=True)
        write_greys(tmp_path / f'videos/{number % 3}/{number}.mp4', 2 + number % 5, 64, 64)
    out, chance, kills = tmp_path / 'out', random.Random(0), 0
    words = ['tools/data/transcode.py', tmp_path / 'videos', out, '--shards', 4, '--short-side', 32, '--workers', 2]
    while True:
        with (tmp_path / 'log').open('a') as log:
            run = warm.start([*map(str, words)], ROOT, dict(os.environ, OMP_NUM_THREADS='1'), log, group=True)
            before = len(list(out.glob('*.json*')))
            while kills < 10 and run.poll() is None and len(list(out.glob('*.json*'))) < before + 2:
                time.sleep(0.01)
            time.sleep(chance.random() / 5)
            if kills == 10 or run.poll() is not None:
                assert run.wait(timeout=120) == 0
                break
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
            kills += 1
            assert not (out / 'index.jsonl').exists()
    assert kills == 10
    shards = read_index(out).shards
    names = Counter(video.name for shard in shards for video in shard.videos)
    assert names == Counter(f'{number % 3}/{number}.mp4' for number in range(120))
    left = {file.name for file in out.iterdir()} - {shard.name for shard in shards}
    assert left == {'index.jsonl', 'transcode.json'}
