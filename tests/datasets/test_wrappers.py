"""Our data sets in MMEngine's and PyTorch's wrappers, under their samplers; theirs under ours."""

import gc
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.runner import Runner
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    WeightedRandomSampler,
)

from mmtsf.datasets import SeededSampler, VideoListDataset
from mmtsf.datasets.loading import VideoLoader
from mmtsf.registry import DATASETS

NUM_VIDEOS = 6
OURS = dict(type='VideoListDataset', ann_file='list.txt', num_classes=3)
MMACTIONS = dict(type='VideoDataset', ann_file='list.txt')
NESTED = dict(type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=2, dataset=OURS), OURS])
WRAPPED = {
    'ours': OURS,
    'VideoDataset': MMACTIONS,
    'RepeatDataset': dict(type='RepeatDataset', times=2, dataset=OURS),
    'ConcatDataset': dict(type='ConcatDataset', datasets=[OURS, OURS]),
    'ClassBalancedDataset': dict(type='ClassBalancedDataset', oversample_thr=0.5, dataset=OURS),
    'nested': NESTED,
}


def draw(results: dict) -> tuple[str, int, int, int]:
    """Transform a video into its name and what the three sources of random numbers give."""
    drawn = int(np.random.randint(1000)), random.randrange(1000), int(torch.randint(1000, ()))
    return Path(results['filename']).name, *drawn


def built(config: dict, root: Path) -> Dataset:
    """The data set, and those in it, of the list in a folder."""

    def placed(config: dict) -> dict:
        if 'datasets' in config:
            return dict(config, datasets=[placed(part) for part in config['datasets']])
        if 'dataset' in config:
            return dict(config, dataset=placed(config['dataset']))
        return dict(config, data_root=str(root), pipeline=[draw])

    return DATASETS.build(placed(config))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folder with a list of six videos, half of them of class 0."""
    (tmp_path / 'list.txt').write_text(''.join(f'{i}.mp4 {max(i - 2, 0) % 3}\n' for i in range(NUM_VIDEOS)))
    return tmp_path


def epoch(loader: DataLoader, number: int = 5, first: int = 0) -> list:
    """Samples of an epoch from its batch number ``first`` on, batch by batch."""
    if hasattr(loader.sampler, 'set_epoch'):
        loader.sampler.set_epoch(number)
    if first:
        loader.first_batch = first
    return list(loader)


def seeded(dataset: Dataset, num_workers: int = 0, **more) -> VideoLoader:
    sampler = SeededSampler(dataset, shuffle=True, seed=3)
    return VideoLoader(dataset, 2, sampler=sampler, num_workers=num_workers, collate_fn=list, **more)


def test_seeds_give_the_samples_that_they_gave_in_version_0_1(root):
    got = [sample[:3] for batch in epoch(seeded(built(OURS, root))) for sample in batch]
    assert got == [
        ('3.mp4', 920, 584),
        ('4.mp4', 448, 759),
        ('0.mp4', 553, 148),
        ('2.mp4', 42, 186),
        ('5.mp4', 506, 865),
        ('1.mp4', 767, 165),
    ]


@pytest.mark.parametrize('kind', WRAPPED)
def test_samples_depend_on_seed_epoch_and_index_alone_in_any_wrapper(kind, root):
    dataset = built(WRAPPED[kind], root)
    whole = epoch(seeded(dataset))
    assert sum(map(len, whole)) == len(dataset)
    torch.manual_seed(123)
    np.random.seed(456)
    random.seed(789)
    assert epoch(seeded(dataset, num_workers=2)) == whole
    assert epoch(seeded(dataset, num_workers=1), first=2) == whole[2:]
    assert epoch(seeded(dataset), number=6) != whole


def test_samples_of_one_video_differ(root):
    samples = [sample for batch in epoch(seeded(built(WRAPPED['RepeatDataset'], root))) for sample in batch]
    assert len(samples) == len(set(samples)) == 2 * NUM_VIDEOS
    assert len({name for name, *_ in samples}) == NUM_VIDEOS


@pytest.mark.parametrize('wrap', [lambda d: Subset(d, [4, 0, 2]), lambda d: ConcatDataset([d, d])])
def test_samples_depend_on_seed_epoch_and_index_alone_in_pytorchs_wrappers(wrap, root):
    dataset = wrap(built(OURS, root))
    whole = epoch(seeded(dataset))
    assert sum(map(len, whole)) == len(dataset)
    assert epoch(seeded(dataset, num_workers=2)) == whole


@pytest.mark.parametrize('kind', WRAPPED)
def test_any_wrapper_works_with_our_sampler_in_pytorchs_own_loader(kind, root):
    dataset = built(WRAPPED[kind], root)
    loader = DataLoader(dataset, 2, sampler=SeededSampler(dataset, seed=3), num_workers=1, collate_fn=list)
    assert sum(map(len, loader)) == len(dataset)


def test_our_data_set_seeds_itself_in_pytorchs_own_loader(root):
    dataset = built(OURS, root)
    plain = DataLoader(dataset, 2, sampler=SeededSampler(dataset, seed=3), num_workers=2, collate_fn=list)
    assert epoch(plain) == epoch(seeded(dataset))


def test_the_loaders_data_set_is_the_one_that_it_was_given(root):
    dataset = built(NESTED, root)
    loader = seeded(dataset, num_workers=1)
    epoch(loader)
    assert loader.dataset is dataset
    assert loader.dataset.metainfo['classes'] == ['0', '1', '2']


SAMPLERS: dict[str, Callable] = {
    'DefaultSampler': lambda d: Runner.build_dataloader(
        dict(dataset=d, sampler=dict(type='DefaultSampler', shuffle=True), batch_size=2, num_workers=1), seed=3
    ),
    'SequentialSampler': lambda d: DataLoader(d, 2, sampler=SequentialSampler(d), num_workers=1),
    'RandomSampler': lambda d: DataLoader(d, 2, sampler=RandomSampler(d), num_workers=1),
    'WeightedRandomSampler': lambda d: DataLoader(d, 2, sampler=WeightedRandomSampler([1.0] * len(d), 6)),
    'BatchSampler': lambda d: DataLoader(d, batch_sampler=BatchSampler(RandomSampler(d), 2, True), num_workers=1),
    'shuffle': lambda d: DataLoader(d, 2, shuffle=True),
}


@pytest.mark.parametrize('name', SAMPLERS)
def test_an_epoch_begins_in_its_middle_whatever_the_sampler(name, root):
    dataset = built(OURS, root)
    dataset.pipeline.transforms = [lambda results: results['sample_idx']]
    loader = VideoLoader.of(SAMPLERS[name](dataset))
    torch.manual_seed(0)
    whole = [list(map(int, batch)) for batch in epoch(loader)]
    torch.manual_seed(0)
    assert [list(map(int, batch)) for batch in epoch(loader, first=1)] == whole[1:]


def test_an_infinite_sampler_goes_on_for_ever(root):
    dataset = built(OURS, root)
    batches = iter(VideoLoader.of(DataLoader(dataset, 2, sampler=InfiniteSampler(dataset), collate_fn=list)))
    names = [name for _ in range(6) for name, *_ in next(batches)]
    assert sorted(names) == sorted(2 * [f'{i}.mp4' for i in range(NUM_VIDEOS)])


@pytest.mark.parametrize('name', ['RandomSampler', 'BatchSampler', 'infinite'])
def test_a_worker_that_dies_loses_and_repeats_no_sample_of_a_sampler_without_a_seed(name, root):
    def die_once(results: dict) -> str:
        if results['sample_idx'] == 4 and not (root / 'died').exists():
            (root / 'died').touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Path(results['filename']).name

    dataset = built(WRAPPED['RepeatDataset'], root)
    dataset.dataset.pipeline.transforms = [die_once]
    if name == 'infinite':
        loader = DataLoader(dataset, 2, sampler=InfiniteSampler(dataset), num_workers=2)
    else:
        loader = SAMPLERS[name](dataset)
    batches = iter(VideoLoader.of(loader))
    names = [name for _ in range(NUM_VIDEOS) for name in next(batches)]
    assert (root / 'died').exists()
    assert sorted(names) == sorted(2 * [f'{i}.mp4' for i in range(NUM_VIDEOS)])


def test_a_video_in_a_wrapper_that_kills_its_worker_is_left_out(root):
    def die(results: dict) -> str:
        if results['filename'].endswith('4.mp4'):
            os.kill(os.getpid(), signal.SIGKILL)
        return Path(results['filename']).name, [Path(video).name for video, _ in results['broken']]

    dataset = built(NESTED, root)
    for part in (dataset.datasets[0].dataset, dataset.datasets[1]):
        part.pipeline.transforms = [die]
    samples = [sample for batch in epoch(seeded(dataset, num_workers=2)) for sample in batch]
    assert len(samples) == 3 * NUM_VIDEOS
    assert [broken for _, broken in samples if broken] == [['4.mp4']] * 3
    assert '4.mp4' not in [name for name, _ in samples]


def test_a_data_set_without_indices_keeps_pytorchs_loader():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(range(4))

    loader = DataLoader(Stream(), 2)
    assert VideoLoader.of(loader) is loader


def test_the_labels_of_a_video_are_what_class_balancing_asks_for(root):
    assert [built(OURS, root).get_cat_ids(i) for i in range(NUM_VIDEOS)] == [[0], [0], [0], [1], [2], [0]]
    (root / 'list.txt').write_text('a.mp4 0 2\nb.mp4 1\n')
    several = built(dict(OURS, multi_class=True), root)
    assert [several.get_cat_ids(i) for i in range(2)] == [[0, 2], [1]]
    assert several.get_data_info(0)['label'].tolist() == [1, 0, 1]


def test_rare_classes_are_repeated(root):
    dataset = built(WRAPPED['ClassBalancedDataset'], root)
    # a class in 1/6 of the videos is repeated sqrt(0.5 / (1/6)) = 1.7 times, that in 4/6 of them once
    assert [dataset.get_cat_ids(i)[0] for i in range(len(dataset))] == [0, 0, 0, 1, 1, 2, 2, 0]


def test_the_rest_of_mmengines_base_data_set_is_there(root):
    dataset = built(dict(OURS, lazy_init=True, serialize_data=False, max_refetch=2), root)
    assert dataset.metainfo['classes'] == ['0', '1', '2']
    assert not dataset._fully_initialized
    assert len(dataset) == NUM_VIDEOS
    assert dataset._fully_initialized
    part = dataset.get_subset([4, 1])
    assert [Path(part.get_data_info(i)['filename']).name for i in range(len(part))] == ['4.mp4', '1.mp4']
    assert part.worker_table is not dataset.worker_table
    assert part.worker_table._table.is_shared()
    assert dataset[-1][0] == '5.mp4'


def test_a_lazy_data_set_reads_its_list_with_its_first_sample(root):
    assert built(dict(OURS, lazy_init=True), root)[2][0] == '2.mp4'


def test_a_transform_that_gives_nothing_makes_another_sample_be_drawn(root):
    dataset = built(OURS, root)
    dataset.pipeline.transforms = [lambda results: None if results['sample_idx'] == 0 else results['sample_idx']]
    assert dataset[0] in range(1, NUM_VIDEOS)
    dataset.test_mode = True
    with pytest.raises(Exception, match='Test time pipline should not get `None`'):
        dataset[0]


def test_arguments_in_mmactions_words_are_taken(root):
    arguments = dict(data_prefix=dict(video='videos'), metainfo=dict(classes=['a', 'b', 'c'], task='x'), start_index=0)
    dataset = VideoListDataset(str(root / 'list.txt'), [draw], data_root=str(root), **arguments)
    assert dataset.metainfo == dict(classes=['a', 'b', 'c'], task='x')
    assert dataset.num_classes == 3
    assert dataset.get_data_info(0)['filename'] == str(root / 'videos/0.mp4')


@pytest.mark.parametrize(
    ('more', 'error', 'words'),
    [
        (dict(num_classes=None), ValueError, 'neither classes nor num_classes is given; set data.num_classes'),
        (dict(data_prefix=dict(img='x')), ValueError, r"data_prefix is {'img': 'x'}, expected dict\(video=FOLDER\)"),
        (dict(delimiter=','), TypeError, "unexpected keyword argument 'delimiter'"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused_by_name(more, error, words, root):
    with pytest.raises(error, match=words):
        built(OURS | more, root)


def test_a_folder_of_videos_refuses_what_is_for_lists(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a/0.mp4').touch()
    config = dict(type='VideoFolderDataset', split='train', num_classes=1, data_root=str(tmp_path), pipeline=[])
    assert len(DATASETS.build(dict(config, indices=1, serialize_data=False))) == 1
    with pytest.raises(ValueError, match=r"\['multi_class'\] are for videos of a list"):
        DATASETS.build(dict(config, multi_class=True))


def test_workers_end_at_once_with_a_loader_that_is_garbage_and_live_on_where_a_worker_drops_it(root):
    gc.collect()
    others = multiprocessing.active_children()
    loader = seeded(built(OURS, root), num_workers=2)
    epoch(loader)
    workers = [process for process in multiprocessing.active_children() if process not in others]
    assert len(workers) == 2
    child = multiprocessing.get_context('fork').Process(target=loader.__del__)
    child.start()
    child.join()
    assert all(worker.is_alive() for worker in workers)
    loader.itself = loader
    del loader
    start = time.monotonic()
    gc.collect()
    assert time.monotonic() - start < 4
    assert not any(worker.is_alive() for worker in workers)
