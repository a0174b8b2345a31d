"""Batches of one tensor are the lists that they were, to all who take them."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.dataset import pseudo_collate
from torch import Tensor
from torch.utils.data import DataLoader
from videos import clip_pipeline, write_greys, write_video

from mmtsf.datasets import SeededSampler, VideoListDataset
from mmtsf.datasets.loading import StackedBatch, VideoLoader, sent_ahead
from mmtsf.datasets.transforms import flat_collate
from mmtsf.registry import MODELS


def sample(number: int, label: object = None, shape: tuple = (1, 3, 4, 8, 8)) -> dict:
    """Noise with its number as its label, or another one."""
    told = ActionDataSample(metainfo=dict(filename=f'{number}.mp4', broken=[], frame_inds=np.arange(number)))
    told.set_gt_labels(number if label is None else label)
    pixels = np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)
    return dict(inputs=torch.from_numpy(pixels), data_samples=told)


def samples() -> list[dict]:
    return [sample(number) for number in range(4)]


def assert_same(got: dict, expected: dict) -> None:
    assert isinstance(got['inputs'], list)
    assert all(map(torch.equal, got['inputs'], expected['inputs']))
    assert [clip.dtype for clip in got['inputs']] == [clip.dtype for clip in expected['inputs']]
    for mine, theirs in zip(got['data_samples'], expected['data_samples'], strict=True):
        assert type(mine) is type(theirs)
        assert mine.keys() == theirs.keys()
        assert torch.equal(mine.gt_labels.item, theirs.gt_labels.item)
        assert sorted(mine.metainfo_keys()) == sorted(theirs.metainfo_keys())  # a set's order
        assert (mine.filename, mine.broken, *mine.frame_inds) == (theirs.filename, theirs.broken, *theirs.frame_inds)


def is_in(parts: list[Tensor], whole: Tensor) -> bool:
    """Whether tensors are views of one."""
    return {part.untyped_storage().data_ptr() for part in parts} == {whole.untyped_storage().data_ptr()}


@pytest.mark.parametrize('way', [lambda batch: batch, lambda batch: pickle.loads(pickle.dumps(batch))])
def test_a_stacked_batch_is_the_dict_of_lists_that_it_was_and_its_tensors_are_views_of_two(way):
    batch = way(flat_collate(samples()))
    assert isinstance(batch, StackedBatch)
    assert_same(batch, pseudo_collate(samples()))
    assert (batch.clips.shape, batch.clips.dtype, batch.labels.shape) == ((4, 1, 3, 4, 8, 8), torch.uint8, (4, 1))
    assert is_in(batch['inputs'], batch.clips)
    assert is_in([told.gt_labels.item for told in batch['data_samples']], batch.labels)


def test_a_worker_shares_the_clips_of_a_batch_as_one_and_keeps_no_memory_open_for_labels():
    [batch] = DataLoader(samples(), 4, num_workers=1, collate_fn=flat_collate)
    assert_same(batch, pseudo_collate(samples()))
    assert [batch.clips.is_shared(), batch.labels.is_shared()] == [True, False]
    assert is_in(batch['inputs'], batch.clips)


def test_what_is_sent_to_another_process_stays_as_it_is_in_this_one():
    batch = flat_collate(samples())
    pickle.dumps(batch)
    assert_same(batch, pseudo_collate(samples()))


def with_other_clips(batch: dict) -> None:
    batch['inputs'] = [clip.float() + 100 for clip in batch['inputs']]


def with_fewer(batch: dict) -> None:
    del batch['inputs'][2:], batch['data_samples'][2:]


def with_one_tensor(batch: dict) -> None:
    batch['inputs'] = batch.clips


def with_other_labels(batch: dict) -> None:
    for told in batch['data_samples']:
        told.set_gt_labels(7)


def in_another_order(batch: dict) -> None:
    batch['data_samples'].reverse()


def without_clips(batch: dict) -> None:
    del batch['inputs']


def as_other_numbers(batch: dict) -> None:
    batch['inputs'] = [clip.view(torch.int8) for clip in batch['inputs']]


CHANGES = (with_other_clips, with_fewer, with_one_tensor, with_other_labels, in_another_order, without_clips)


@pytest.mark.parametrize('change', [*CHANGES, as_other_numbers])
def test_what_a_users_collation_puts_into_a_stacked_batch_stays_there(change):
    def collate(given: list) -> dict:
        batch = flat_collate(given)
        assert batch.is_whole()
        change(batch)
        return batch

    expected, [sent] = collate(samples()), VideoLoader(samples(), 4, num_workers=1, collate_fn=collate)
    pinned = expected.pin_memory()
    assert not expected.is_whole()
    for got in (sent, pinned, *sent_ahead([collate(samples())], torch.device('cpu'))):
        assert got.keys() == expected.keys()
        assert type(got.get('inputs')) is type(expected.get('inputs'))
        assert all(map(torch.equal, got.get('inputs', ()), expected.get('inputs', ())))
        assert [clip.dtype for clip in got.get('inputs', ())] == [clip.dtype for clip in expected.get('inputs', ())]
        labels = [[told.gt_labels.item.item() for told in batch['data_samples']] for batch in (got, expected)]
        assert labels[0] == labels[1]


def test_what_is_changed_in_place_stays_changed():
    batch = flat_collate(samples())
    batch['inputs'][1].zero_()
    batch['data_samples'][2].gt_labels.item.fill_(9)
    got = pickle.loads(pickle.dumps(batch))
    assert got.is_whole()
    assert not got['inputs'][1].any()
    assert got.labels.flatten().tolist() == [0, 1, 9, 3]


def test_several_labels_of_a_video_and_several_clips_of_a_video_are_stacked():
    several = [sample(number, [number, 1, 0]) for number in range(4)]
    batch = pickle.loads(pickle.dumps(flat_collate([several[:3], several[3]])))
    assert batch.labels.tolist() == [[number, 1, 0] for number in range(4)]
    assert_same(batch, pseudo_collate(several))


@pytest.mark.parametrize(
    'odd',
    [
        [sample(0), sample(1, shape=(1, 3, 4, 8, 9))],
        [sample(0), sample(1, shape=(2, 3, 4, 8, 8))],
        [dict(sample(0), inputs=torch.zeros(1, 3, 4, 8, 8)), sample(1)],
    ],
    ids=['size', 'views', 'type'],
)
def test_clips_that_differ_stay_a_list(odd):
    batch = flat_collate(odd)
    assert type(batch) is dict
    assert_same(batch, pseudo_collate(odd))


@pytest.mark.parametrize('label', [[1, 2], None], ids=['of another length', 'none'])
def test_labels_that_differ_stay_in_their_samples(label):
    def uneven() -> list[dict]:
        last = sample(1, label)
        if label is None:
            del last['data_samples'].gt_labels
        return [sample(0), last]

    batch = pickle.loads(pickle.dumps(flat_collate(uneven())))
    assert batch.labels is None
    assert batch.clips.shape == (2, 1, 3, 4, 8, 8)
    assert batch['data_samples'][0].gt_labels.item.tolist() == [0]
    assert ('gt_labels' in batch['data_samples'][1].keys()) == (label is not None)  # noqa: SIM118  # no dict


def test_samples_of_other_kinds_are_collated_as_before():
    tensors = [dict(inputs=torch.ones(2) * number, data_samples=torch.ones(1), more=number) for number in range(3)]
    batch = pickle.loads(pickle.dumps(flat_collate(tensors)))
    assert (batch.clips.tolist(), batch['more']) == ([[0, 0], [1, 1], [2, 2]], [0, 1, 2])
    assert [told.tolist() for told in batch['data_samples']] == [[1]] * 3
    for others in ([1, 2], [dict(inputs=dict(a=torch.ones(1)))] * 2, [dict(x=torch.ones(1))] * 2):
        assert flat_collate(others) == pseudo_collate(others)


MIXUP, CUTMIX = (dict(type=f'{kind}Blending', num_classes=4, alpha=0.8) for kind in ('Mixup', 'Cutmix'))
NORMALISED = dict(mean=[1.0, 2, 3], std=[4.0, 5, 6], format_shape='NCTHW')
PREPROCESSORS = dict(
    plain=dict(type='ActionDataPreprocessor', format_shape='NCTHW'),
    normalised=dict(type='ActionDataPreprocessor', **NORMALISED),
    colours=dict(type='ActionDataPreprocessor', to_rgb=True, **NORMALISED),
    mixup=dict(type='ActionDataPreprocessor', blending=MIXUP, **NORMALISED),
    cutmix=dict(type='ActionDataPreprocessor', blending=dict(type='RandomBlending', augments=[CUTMIX]), **NORMALISED),
    either=dict(
        type='ActionDataPreprocessor', blending=dict(type='RandomBlending', augments=[MIXUP, CUTMIX]), **NORMALISED
    ),
)


@pytest.mark.parametrize('name', PREPROCESSORS)
def test_a_preprocessor_makes_of_a_stacked_batch_what_it_makes_of_a_list(name):
    results = []
    for collate in (flat_collate, pseudo_collate):
        torch.manual_seed(3)
        batch = collate(samples())
        done = MODELS.build(PREPROCESSORS[name])(batch, training=True)
        results.append((done['inputs'], torch.stack([told.gt_labels.item for told in done['data_samples']])))
        assert_same(batch, pseudo_collate(samples()))  # nothing was changed in place
    assert all(map(torch.equal, *results))


def test_a_preprocessor_of_mmengine_finds_its_lists():
    batch = MODELS.build(dict(type='mmengine.BaseDataPreprocessor'))(flat_collate(samples()))
    assert_same(batch, pseudo_collate(samples()))


@pytest.fixture
def varied(tmp_path: Path) -> VideoListDataset:
    """Videos of 12 and 24 frames, which are covered by clips of four."""
    for number, frames in enumerate((12, 24, 24)):
        write_greys(tmp_path / f'{number}.mp4', frames, 40, 64)
    (tmp_path / 'list.txt').write_text('0.mp4 0\n1.mp4 1\n2.mp4 2\n')
    pipeline = clip_pipeline(start='cover')
    return VideoListDataset('list.txt', pipeline, 3, data_root=str(tmp_path), test_mode=True)


@pytest.mark.parametrize('num_workers', [0, 2])
def test_videos_of_different_numbers_of_clips_are_tested_together(varied, num_workers):
    loader = DataLoader(
        varied, 3, sampler=SeededSampler(varied, shuffle=False), num_workers=num_workers, collate_fn=flat_collate
    )
    [batch] = VideoLoader.of(loader, torch.device('cpu'))
    numbers = [len(clips) for clips in batch['inputs']]
    assert numbers[0] < numbers[1] == numbers[2]
    assert not isinstance(batch, StackedBatch)
    assert [told.gt_labels.item.tolist() for told in batch['data_samples']] == [[0], [1], [2]]


@pytest.mark.parametrize('num_workers', [0, 1, 3])
def test_the_pixels_of_a_batch_are_bit_for_bit_those_of_a_list(num_workers, tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (6, 12, 40, 64, 3), dtype=np.uint8)
    names = [write_video(tmp_path / f'{number}.mp4', video) for number, video in enumerate(frames)]
    (tmp_path / 'list.txt').write_text(''.join(f'{name} 0\n' for name in names))
    pipeline = clip_pipeline(start='random')
    pipeline[4:5] = [dict(type='RandomCrop', size=32), dict(type='Flip', flip_ratio=0.5)]
    dataset = VideoListDataset('list.txt', pipeline, num_classes=1, data_root=str(tmp_path))
    epochs = []
    for collate, workers in ((pseudo_collate, 0), (flat_collate, num_workers)):
        sampler = SeededSampler(dataset, shuffle=True, seed=3)
        loader = DataLoader(dataset, 4, sampler=sampler, num_workers=workers, collate_fn=collate)
        epochs.append(list(VideoLoader.of(loader, torch.device('cpu'))))
    assert len(epochs[0]) == 2
    for got, expected in zip(epochs[1], epochs[0], strict=True):
        assert isinstance(got, StackedBatch)
        assert all(map(torch.equal, got['inputs'], expected['inputs']))
        assert [a.filename for a in got['data_samples']] == [a.filename for a in expected['data_samples']]
