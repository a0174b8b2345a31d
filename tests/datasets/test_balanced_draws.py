"""Rare classes come more often, all their videos equally often, in an order that the seed and the epoch decide."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import RepeatDataset
from torch.utils.data import DataLoader

from mmtsf.datasets import SeededSampler, VideoListDataset
from mmtsf.datasets.class_counts import count_classes, labels_of
from mmtsf.datasets.decoders import BrokenVideoError
from mmtsf.datasets.loading import VideoLoader
from mmtsf.datasets.loading.balanced_draws import BalancedDraws
from mmtsf.datasets.loading.seeds import SeededItems
from mmtsf.registry import DATASETS


class Labelled:
    """A data set that has labels, and shards of ten videos where there is a window."""

    def __init__(self, labels: list, window: int | None = None) -> None:
        self.labels, self.window = labels, window

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple:
        return int(index), int(np.random.randint(10**9))

    def get_data_info(self, index: int) -> dict:
        return dict(label=self.labels[index])

    def shard_of(self, index: int) -> int:
        return index // 10


TEN_TO_ONE = [0] * 50 + [1] * 5


@pytest.mark.parametrize(
    ('labels', 'balance', 'quotas'),
    [
        (TEN_TO_ONE, 1, [28, 27]),
        (TEN_TO_ONE, 0.5, [42, 13]),  # sqrt(10) : 1
        ([0] * 8 + [1] * 2 + [3], 1e-9, [8, 2, 1]),
        ([*range(9), *[9] * 2], 1, [1] * 9 + [2]),  # none less than once
    ],
)
def test_classes_are_drawn_in_proportion_to_a_power_of_their_size(labels, balance, quotas):
    draws = BalancedDraws([[label] for label in labels], balance)
    assert sorted(draws.quotas.tolist()) == sorted(quotas)
    assert draws.quotas.sum() == len(labels)


def test_all_videos_of_a_class_come_equally_often():
    draws = BalancedDraws([[label] for label in TEN_TO_ONE], 1)
    counts: Counter = Counter()
    for epoch in range(1, 11):
        counts.update(draws.of_epoch(3, epoch - 1).tolist())
        for videos in (range(50), range(50, 55)):
            times = [counts[video] for video in videos]
            assert max(times) - min(times) <= 1


def test_a_video_with_several_labels_counts_for_the_rarest():
    draws = BalancedDraws([[0], [0], [0, 1], [0]], 1)
    assert [deck.tolist() for deck in draws.decks] == [[0, 1, 3], [2]]


@pytest.mark.parametrize('window', [None, 2])
def test_processes_share_the_order_of_one(window):
    def drawn(rank: int, size: int) -> list:
        sampler = SeededSampler(Labelled(TEN_TO_ONE, window), seed=1, balance=1)
        sampler.rank, sampler.world_size, sampler.total_size = rank, size, 55
        sampler.set_epoch(4)
        return [(int(index), index.seed) for index in sampler]

    alone, five = drawn(0, 1), [drawn(rank, 5) for rank in range(5)]
    assert [five[place % 5][place // 5] for place in range(55)] == alone
    assert alone == drawn(0, 1)
    assert len({seed for _, seed in alone}) == 55  # of a video that comes again, too
    assert Counter(index >= 50 for index, _ in alone) == {True: 27, False: 28}


def test_a_window_reads_few_shards_at_a_time():
    labels = [int(video % 10 == 0) for video in range(200)]
    sampler = SeededSampler(Labelled(labels, window=2), seed=0, balance=1)
    shards = [index // 10 for index in sampler]
    # a sample is moved by up to one shard: those of three stand side by side
    assert max(len(set(shards[place : place + 5])) for place in range(195)) <= 5
    assert sum(before != after for before, after in zip(shards, shards[1:])) < 150
    assert sum(labels[index] for index in sampler) == 100


@pytest.mark.parametrize('num_workers', [0, 2])
def test_an_epoch_goes_on_in_its_middle_whatever_the_workers(num_workers):
    def batches(first: int = 0, workers: int = 0) -> list:
        dataset = Labelled(TEN_TO_ONE)
        loader = DataLoader(
            dataset, 4, sampler=SeededSampler(dataset, seed=2, balance=0.7), num_workers=workers, collate_fn=list
        )
        loader = VideoLoader.of(loader)
        loader.first_batch = first
        return list(loader)

    assert batches(5, num_workers) == batches()[5:]


def list_config(folder: Path) -> dict:
    Path(folder, 'list.txt').write_text('a.mp4 0\nb.mp4 0\nc.mp4 0\nd.mp4 1\n')
    return dict(type='VideoListDataset', ann_file='list.txt', data_root=str(folder), num_classes=3, pipeline=[])


@pytest.mark.parametrize(
    ('wrap', 'counts'),
    [
        (lambda ours: ours, [3, 1, 0]),
        (lambda ours: dict(type='RepeatDataset', times=2, dataset=ours), [6, 2, 0]),
        (lambda ours: dict(type='ConcatDataset', datasets=[ours, ours]), [6, 2, 0]),
        (lambda ours: dict(type='ClassBalancedDataset', oversample_thr=1, dataset=ours), [6, 2, 0]),
        (lambda ours: dict(ours, indices=3), [3, 0, 0]),
        (lambda ours: dict(ours, type='VideoDataset', multi_class=True), [3, 1, 0]),
    ],
)
def test_classes_are_counted_in_any_wrapper_without_a_video(wrap, counts, tmp_path):
    config = list_config(tmp_path)
    dataset = DATASETS.build(wrap(config))
    assert count_classes(labels_of(dataset), 3).tolist() == counts
    assert len(list(SeededSampler(dataset, seed=0, balance=1))) == len(dataset)


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (dict(balance=1.5), r'training.balance is 1.5, expected a number from 0 .* to 1'),
        (dict(balance=float('nan')), 'training.balance is nan'),
        (dict(balance=True), 'training.balance is True'),
        (dict(balance=1, shuffle=False), 'balance is 1, but shuffle is False'),
    ],
)
def test_what_cannot_be_balanced_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        SeededSampler(Labelled(TEN_TO_ONE), **arguments)


def test_a_data_set_that_tells_no_labels_is_refused_and_labels_beyond_the_classes():
    with pytest.raises(ValueError, match='TensorDataset does not tell its labels'):
        SeededSampler(torch.utils.data.TensorDataset(torch.zeros(3)), balance=1)
    with pytest.raises(ValueError, match=r'the training set has the label 5, which is not in \[0, 3\)'):
        count_classes([[0], [5]], 3)


def test_as_they_are_is_the_order_of_before():
    plain, zero = (list(SeededSampler(Labelled(TEN_TO_ONE), seed=3, **more)) for more in ({}, dict(balance=0)))
    assert [(int(i), i.seed) for i in plain] == [(int(i), i.seed) for i in zero]
    assert np.unique(plain).size == 55


@pytest.mark.parametrize('multi_class', [False, True])
def test_a_broken_video_is_replaced_by_one_of_its_class_when_classes_are_balanced(multi_class, tmp_path, monkeypatch):
    rows = [('a', '0')] * 40 + [('b', '0 1' if multi_class else '1')] * 3 + [('x', '0 1' if multi_class else '1')] * 2
    rows += [('x', '2')]  # of this class there is none that can be read: any other takes its place
    config = dict(list_config(tmp_path), pipeline=[readable], multi_class=multi_class)
    (tmp_path / 'list.txt').write_text(''.join(f'{name}{n}.mp4 {label}\n' for n, (name, label) in enumerate(rows)))
    wrapped = DATASETS.build(dict(type='RepeatDataset', times=2, dataset=DATASETS.build(config)))
    samples = SeededItems(wrapped)

    def trained(**more) -> list[str]:
        sampler = SeededSampler(wrapped, seed=0, **more)
        return [samples[index]['filename'][len(str(tmp_path)) + 1 :] for index in sampler]

    plain, balanced = trained(balance=0), trained(balance=1)
    assert not any(name.startswith('x') for name in plain + balanced)
    quotas = SeededSampler(wrapped, balance=1).draws.quotas.tolist()
    assert quotas[1] <= sum(name.startswith('b') for name in balanced) <= quotas[1] + quotas[2] // 2
    assert trained(balance=1) == balanced
    assert trained(balance=0) == plain
    monkeypatch.setattr(VideoListDataset, '_another', lambda self, *_: self._rand_another())  # as it was before
    assert trained(balance=0) == plain


def readable(info: dict) -> dict:
    if Path(info['filename']).name.startswith('x'):
        raise BrokenVideoError(info['filename'], 'is empty')
    return info


def test_labels_are_told_without_a_vector_for_each_video(tmp_path):
    dataset = DATASETS.build(dict(list_config(tmp_path), multi_class=True))
    dataset.get_data_info = None  # makes vectors
    for wrap, expected in ((RepeatDataset(dataset, 2), [[0], [0], [0], [1]] * 2), (dataset, [[0], [0], [0], [1]])):
        assert labels_of(wrap) == expected


def test_decks_share_no_random_numbers_with_the_orders_of_epochs():
    draws = BalancedDraws([[0]] * 30, 1)
    orders = [np.random.default_rng((3, epoch)).permutation(30).tolist() for epoch in range(5)]
    assert draws.of_epoch(3, 0).tolist() not in orders
