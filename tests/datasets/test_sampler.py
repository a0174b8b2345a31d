"""The order of samples and their augmentation depend on the seed and the epoch alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, pseudo_collate
from torch.utils.data import DataLoader
from videos import clip_pipeline, write_video

from mmtsf.datasets import SeededSampler, VideoListDataset
from mmtsf.datasets.loading import SeededIndex


@pytest.mark.parametrize('shuffle', [True, False])
def test_every_index_comes_with_seed_and_epoch_in_the_order_of_mmengines_sampler(shuffle):
    ours, theirs = (kind(range(20), shuffle=shuffle, seed=3) for kind in (SeededSampler, DefaultSampler))
    for epoch in (0, 5):
        ours.set_epoch(epoch)
        theirs.set_epoch(epoch)
        assert [(index, index.seed) for index in ours] == [(index, (3, epoch, index)) for index in theirs]


@pytest.fixture
def noise_videos(tmp_path: Path) -> VideoListDataset:
    """Six videos of noise, and a broken one, with clips cut and flipped at random."""
    frames = np.random.default_rng(0).integers(0, 255, (6, 12, 40, 64, 3), dtype=np.uint8)
    names = [write_video(tmp_path / f'{number}.mp4', video) for number, video in enumerate(frames)]
    (tmp_path / 'list.txt').write_text(''.join(f'{name} 0\n' for name in [*names, 'missing.mp4']))
    pipeline = clip_pipeline(start='random')
    pipeline[3:5] = [
        dict(type='RandomRescale', scale_range=(32, 36)),
        dict(type='RandomCrop', size=32),
        dict(type='Flip', flip_ratio=0.5),
    ]
    return VideoListDataset('list.txt', pipeline, num_classes=1, data_root=str(tmp_path))


def batches(dataset: VideoListDataset, seed: int, epoch: int, num_workers: int) -> list[tuple]:
    """Pixels, file names and broken files of an epoch."""
    sampler = SeededSampler(dataset, shuffle=True, seed=seed)
    sampler.set_epoch(epoch)
    loader = DataLoader(dataset, 3, sampler=sampler, num_workers=num_workers, collate_fn=pseudo_collate)
    return [
        (torch.stack(batch['inputs']).tolist(), [(sample.filename, sample.broken) for sample in batch['data_samples']])
        for batch in loader
    ]


@pytest.mark.parametrize('num_workers', [1, 2])
def test_seed_and_epoch_alone_decide_over_batches(num_workers, noise_videos):
    expected = batches(noise_videos, seed=3, epoch=5, num_workers=0)
    torch.manual_seed(123)
    np.random.seed(456)
    assert batches(noise_videos, seed=3, epoch=5, num_workers=num_workers) == expected


def test_other_seeds_and_epochs_give_other_batches(noise_videos):
    first = batches(noise_videos, seed=3, epoch=5, num_workers=0)
    assert batches(noise_videos, seed=3, epoch=6, num_workers=0) != first
    assert batches(noise_videos, seed=4, epoch=5, num_workers=0) != first


def test_another_epoch_cuts_the_same_video_differently(noise_videos):
    clips = [noise_videos[SeededIndex(2, (0, epoch, 2))]['inputs'] for epoch in (0, 0, 1)]
    assert torch.equal(clips[0], clips[1])
    assert not torch.equal(clips[0], clips[2])
