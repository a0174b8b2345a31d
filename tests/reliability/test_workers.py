"""Data workers that die or hang cost one sample, and nothing else of the run changes."""

import multiprocessing
import os
import random
import resource
import shutil
import signal
import threading
import time
from pathlib import Path

import faults  # noqa: F401  # adds a decoder
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from runs import ROOT, TINY, options, run_tool
from torch.utils.data import DataLoader
from videos import clip_pipeline, write_video

from mmtsf.datasets import SeededSampler, VideoListDataset
from mmtsf.datasets.loading.video_loader import VideoLoader
from mmtsf.datasets.transforms import flat_collate

#: Where batches are sent one ahead; on a CPU, the order of things is the same
sent_ahead = pytest.mark.parametrize('ahead', [None, 'cpu', pytest.param('cuda', marks=pytest.mark.gpu)])
several_workers = pytest.mark.parametrize('num_workers', [1, 3])
WHOLE = [f'{number}.mp4' for number in range(14)]
NAMES = [*WHOLE, 'crash.mp4', 'hang.mp4', 'wait.mp4']


@pytest.fixture(scope='module')
def videos(tmp_path_factory) -> Path:
    """Folder of noise videos of the names, and lists."""
    folder = tmp_path_factory.mktemp('videos')
    frames = np.random.default_rng(0).integers(0, 255, (len(NAMES), 12, 40, 64, 3), dtype=np.uint8)
    for name, video in zip(NAMES, frames):
        write_video(folder / name, video)
    return folder


def make_loader(
    videos: Path,
    names: list[str],
    num_workers: int,
    decoder: str = 'faulty',
    outlives: bool = True,
    ahead: str | None = None,
) -> DataLoader:
    """Batches of three, shuffled, cut at random times and places; perhaps sent ahead to a device."""
    (videos / 'list.txt').write_text(''.join(f'{name} 0\n' for name in names))
    pipeline = clip_pipeline(start='random')
    pipeline[0]['decoder'] = decoder
    pipeline[4:5] = [dict(type='RandomCrop', size=32), dict(type='Flip', flip_ratio=0.5)]
    dataset = VideoListDataset('list.txt', pipeline, 1, data_root=str(videos), time_limit=2)
    sampler = SeededSampler(dataset, shuffle=True, seed=3)
    loader = DataLoader(
        dataset,
        3,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=flat_collate if ahead else pseudo_collate,
        pin_memory=ahead == 'cuda',
    )
    return VideoLoader.of(loader, torch.device(ahead) if ahead else None) if outlives else loader


def read(loader: DataLoader, num_epochs: int = 2) -> list[tuple]:
    """What each sample shows, its file, and broken files, of all epochs."""
    samples = []
    for epoch in range(num_epochs):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            names = [(Path(s.filename).name, dict(s.broken)) for s in batch['data_samples']]
            samples += [(pixels.cpu().numpy().tobytes(), *name) for pixels, name in zip(batch['inputs'], names)]
    return samples


@pytest.mark.parametrize('num_workers', [0, 1, 3])
def test_without_faults_the_samples_are_those_of_pytorchs_loader(num_workers, videos):
    expected = read(make_loader(videos, NAMES, 0, 'pyav', outlives=False))
    assert len(expected) == 2 * len(NAMES)
    assert read(make_loader(videos, NAMES, num_workers, 'pyav')) == expected


@pytest.mark.parametrize(
    ('fault', 'reason', 'num_workers', 'ahead'),
    [
        ('crash', 'took the process down (exit code -11)', 1, None),
        ('crash', 'took the process down (exit code -11)', 3, 'cpu'),
        ('hang', 'could not be read within 2 s', 3, None),
        ('hang', 'could not be read within 2 s', 1, 'cpu'),
        pytest.param('crash', 'took the process down (exit code -11)', 1, 'cuda', marks=pytest.mark.gpu),
        pytest.param('hang', 'could not be read within 2 s', 3, 'cuda', marks=pytest.mark.gpu),
    ],
)
def test_a_decoder_that_fails_costs_one_sample_an_epoch(fault, reason, num_workers, ahead, videos):
    names = [*WHOLE, f'{fault}.mp4']
    num_epochs = 1 if fault == 'hang' else 2  # it is waited for
    expected = read(make_loader(videos, names, 0, 'pyav'), num_epochs)
    got = read(make_loader(videos, names, num_workers, ahead=ahead), num_epochs)
    assert len(got) == len(expected) == 15 * num_epochs
    other = [number for number, samples in enumerate(zip(got, expected)) if samples[0] != samples[1]]
    assert [expected[number][1] for number in other] == [f'{fault}.mp4'] * num_epochs
    for number in other:
        assert got[number][1] != f'{fault}.mp4'
        ((path, words),) = got[number][2].items()
        assert path == str(videos / f'{fault}.mp4')
        assert words.startswith(f'{path}: ')
        assert reason in words


@several_workers
def test_a_worker_that_is_killed_at_a_good_video_changes_nothing(num_workers, videos):
    met = videos / 'wait.met'
    met.unlink(missing_ok=True)
    names = [*WHOLE, 'wait.mp4']
    expected = read(make_loader(videos, names, 0, 'pyav'))

    def kill() -> None:
        while not met.exists():
            time.sleep(0.01)
        os.kill(int(met.read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    got = read(make_loader(videos, names, num_workers))
    killer.join()
    assert got == expected


@sent_ahead
def test_workers_that_are_killed_at_any_moment_lose_no_sample(ahead, videos):
    expected = read(make_loader(videos, WHOLE * 20, 0, 'pyav'), 1)
    over, chance = threading.Event(), random.Random(0)

    def kill() -> None:
        for _ in range(8):
            over.wait(chance.random())
            for worker in multiprocessing.active_children()[:1]:
                worker.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    got = read(make_loader(videos, WHOLE * 20, 2, 'pyav', ahead=ahead), 1)
    over.set()
    killer.join()
    assert len(got) == len(expected)
    assert all(mine == theirs or mine[2] for mine, theirs in zip(got, expected))  # one met twice is left out by name


@pytest.fixture(scope='module')
def faulty_run(motion, tmp_path_factory) -> tuple[Path, Path, str]:
    """Config with the faulty decoder, folder with its videos, and the log of two epochs of training on them."""
    folder = tmp_path_factory.mktemp('faulty')
    config, data = folder / 'faulty.py', folder / 'data'
    config.write_text(
        f"_base_ = '{ROOT / TINY}'\ncustom_imports = dict(imports=['mmtsf', 'faults'])\ndecoder = 'faulty'\n"
        'train_dataloader = dict(num_workers=2)\n'
    )
    shutil.copytree(motion, data)
    for split, name in (('train', 'crash.mp4'), ('train', 'hang.mp4'), ('test', 'crash.mp4')):
        shutil.copy(data / split / 'left/0000.mp4', data / split / 'left' / name)
    os.environ['PYTHONPATH'] = str(Path(__file__).parent)
    try:
        changes = options(data, **{'data.time_limit': 2})
        log = run_tool('tools/train.py', config, '--work-dir', folder / 'run', *changes)
        yield config, data, log
    finally:
        del os.environ['PYTHONPATH']


def test_training_names_each_video_that_took_a_worker_once_and_goes_on(faulty_run):
    config, data, log = faulty_run
    lines = (config.parent / 'run/broken_videos.txt').read_text().splitlines()
    assert sorted(line.split('\t')[0] for line in lines) == [
        str(data / f'train/left/{x}.mp4') for x in ('crash', 'hang')
    ]
    for path, reason in (line.split('\t') for line in lines):
        assert log.count(f'broken video replaced by another one: {reason}') == 1
        assert log.count(f'a data worker was lost at {path}, which is tried once more') == 1
    assert '2 broken videos were left out of training' in log
    assert 'epoch 2/2' in log


def test_testing_names_the_video_that_took_its_worker_or_leaves_it_out_when_asked(faulty_run):
    config, data, _ = faulty_run
    words = [config, config.parent / 'run/epoch_2.pth', '--work-dir', config.parent / 'test']
    reason = f'{data}/test/left/crash.mp4: its decoder took the process down (exit code -11)'
    assert f'error: {reason}' in run_tool('tools/test.py', *words, *options(data), fails=True)
    log = run_tool('tools/test.py', *words, *options(data, **{'data.skip_broken': True}))
    assert 'videos: 13 expected, 13 found, 12 scored' in log
    assert f'not scored: {reason}' in log


def cpu_seconds() -> float:
    """Of this process and of all that it has waited for."""
    return sum(sum(resource.getrusage(whose)[:2]) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


@pytest.mark.long
def test_looking_after_workers_takes_no_time(videos):
    def cost(outlives: bool) -> tuple[float, float]:
        loader = make_loader(videos, WHOLE * 8, 2, 'pyav', outlives)
        cpu, wall = cpu_seconds(), time.perf_counter()
        read(loader, 1)
        return cpu_seconds() - cpu, time.perf_counter() - wall

    plain, ours = zip(*((cost(False), cost(True)) for _ in range(5)))
    (plain_cpu, plain_wall), (our_cpu, our_wall) = (map(min, zip(*costs)) for costs in (plain, ours))
    assert our_cpu < 1.2 * plain_cpu
    assert our_wall < 2 * plain_wall  # of other load; to wait for a look a batch would take twenty times as long
