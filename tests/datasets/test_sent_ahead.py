"""Batches are sent one ahead: each is handed out once, in its order, and an error waits for those before it."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from torch.utils.data import DataLoader
from toys import ToyData, ToyModel, toy_runner
from videos import clip_pipeline, write_video

from mmtsf.datasets import SeededSampler, VideoListDataset
from mmtsf.datasets.loading import StackedBatch, VideoLoader, sent_ahead
from mmtsf.datasets.transforms import flat_collate
from mmtsf.engine.runner import Runner

CPU = torch.device('cpu')
#: Where batches are sent: the order of things is the same on a CPU
devices = pytest.mark.parametrize(
    'device', [CPU, pytest.param(torch.device('cuda'), marks=pytest.mark.gpu)], ids=lambda device: device.type
)


def batch_of(number: int) -> StackedBatch:
    batch = StackedBatch(dict(number=number), torch.full((2, 1, 3, 4, 64, 64), number, dtype=torch.uint8))
    return batch.pin_memory() if torch.cuda.is_available() else batch


def read(number: int, events: list, error: Exception | None = None) -> Iterator[Any]:
    for place in range(number):
        events.append(f'read {place}')
        yield batch_of(place)
    if error:
        raise error


@devices
def test_the_next_batch_is_read_before_one_is_handed_out(device):
    events: list[str] = []
    for number, batch in enumerate(sent_ahead(read(3, events), device)):
        events.append(f'got {number}')
        assert batch['number'] == number
        assert {clip.device.type for clip in batch['inputs']} == {device.type}
        assert torch.stack(batch['inputs']).eq(number).all()
    assert events == ['read 0', 'read 1', 'got 0', 'read 2', 'got 1', 'got 2']


@devices
@pytest.mark.parametrize('number', [0, 1, 3])
def test_an_error_comes_behind_the_batches_before_it(device, number):
    batches = sent_ahead(read(number, [], OSError('the disk is gone')), device)
    assert [next(batches)['number'] for _ in range(number)] == list(range(number))
    with pytest.raises(OSError, match='the disk is gone'):
        next(batches)


@devices
@pytest.mark.parametrize('number', [0, 1, 2])
def test_few_batches_and_those_that_are_not_stacked_are_handed_out_as_they_are(device, number):
    batches = [dict(inputs=[torch.ones(1)])] * number
    assert list(sent_ahead(batches, device)) == batches


def test_a_loader_that_is_left_reads_no_more():
    events: list[str] = []
    ahead = sent_ahead(read(5, events), CPU)
    next(ahead)
    ahead.close()
    assert events == ['read 0', 'read 1']


@pytest.fixture(scope='module')
def noise(tmp_path_factory) -> Path:
    """Folder with ten videos of noise, and their list."""
    folder = tmp_path_factory.mktemp('noise')
    frames = np.random.default_rng(0).integers(0, 255, (10, 12, 40, 64, 3), dtype=np.uint8)
    for number, video in enumerate(frames):
        write_video(folder / f'{number}.mp4', video)
    (folder / 'list.txt').write_text(''.join(f'{number}.mp4 0\n' for number in range(len(frames))))
    return folder


def loader_of(noise: Path, num_workers: int, device: torch.device | None, **more: Any) -> DataLoader:
    pipeline = clip_pipeline(start='random')
    pipeline[4:5] = [dict(type='RandomCrop', size=32), dict(type='Flip', flip_ratio=0.5)]
    dataset = VideoListDataset('list.txt', pipeline, num_classes=1, data_root=str(noise))
    sampler = SeededSampler(dataset, shuffle=True, seed=3)
    return VideoLoader.of(
        DataLoader(dataset, 3, sampler=sampler, num_workers=num_workers, collate_fn=flat_collate, **more), device
    )


def epoch(loader: DataLoader, first: int = 0) -> list[tuple]:
    loader.first_batch = first
    return [
        (clip.cpu().numpy().tobytes(), told.filename, told.gt_labels.item.tolist())
        for batch in loader
        for clip, told in zip(batch['inputs'], batch['data_samples'], strict=True)
    ]


@devices
def test_an_epoch_is_the_same_whether_it_is_sent_ahead_begins_in_its_middle_or_comes_again(device, noise):
    expected = epoch(loader_of(noise, 0, None))
    loader = loader_of(noise, 2, device, pin_memory=device.type == 'cuda')
    assert epoch(loader) == expected
    next(iter(loader))  # and is left there
    assert epoch(loader, first=2) == expected[6:]
    assert epoch(loader) == expected


@pytest.mark.gpu
def test_a_batch_is_copied_beside_what_the_gpu_computes():
    device, other = torch.device('cuda'), torch.cuda.Stream()
    large = StackedBatch({}, torch.ones(64, 1, 3, 8, 224, 224, dtype=torch.uint8)).pin_memory()
    factor = torch.rand(8192, 8192, device=device)
    batches = sent_ahead([large, large], device)
    for _ in range(50):
        factor = factor @ factor
    busy = torch.cuda.current_stream().record_event()
    last = next(batches).clips[-1, ..., -1]
    is_there = False
    while not (is_there or busy.query()):
        with torch.cuda.stream(other):  # which waits for nothing
            is_there = bool(last.cpu().eq(1).all())
    assert is_there


@pytest.mark.gpu
def test_memory_of_a_batch_is_not_taken_while_it_is_computed_with():
    device = torch.device('cuda')
    batches = (StackedBatch({}, torch.full((64, 2**20), n, dtype=torch.uint8)).pin_memory() for n in range(30))
    sums = []
    for batch in sent_ahead(batches, device):
        torch.cuda._sleep(10**7)
        sums.append(batch.clips.sum(dtype=torch.int64))
    assert [int(total) for total in sums] == [64 * 2**20 * n for n in range(30)]


@pytest.mark.gpu
def test_all_epochs_share_the_stream_of_a_gpu(monkeypatch):
    streams, usual = set(), StackedBatch.to

    def to(batch: StackedBatch, device: torch.device) -> StackedBatch:
        streams.add(torch.cuda.current_stream())
        return usual(batch, device)

    monkeypatch.setattr(StackedBatch, 'to', to)
    for device in ('cuda', 'cuda:0', 'cuda'):
        list(sent_ahead([batch_of(1)], torch.device(device)))
    assert len(streams) == 1
    assert torch.cuda.current_stream() not in streams


@pytest.mark.gpu
def test_the_runner_pins_batches_and_sends_them_to_its_gpu(noise):
    dataset = loader_of(noise, 0, None).dataset
    config = dict(dataset=dataset, batch_size=3, sampler=dict(type='SeededSampler', shuffle=True))
    config |= dict(num_workers=2, collate_fn=dict(type='flat_collate'))
    loader = Runner.build_dataloader(config, seed=3)
    assert (loader.pin_memory, loader.device) == (True, torch.device('cuda'))
    for batch in loader:
        assert batch.clips.is_cuda
        assert {told.gt_labels.item.device.type for told in batch['data_samples']} == {'cuda'}
    assert epoch(loader) == epoch(loader_of(noise, 0, None))
    unpinned = Runner.build_dataloader(config | dict(pin_memory=False), seed=3)
    assert unpinned.device is None


def test_without_a_gpu_nothing_is_pinned_or_sent(noise, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    dataset = loader_of(noise, 0, None).dataset
    config = dict(dataset=dataset, batch_size=3, sampler=dict(type='SeededSampler', shuffle=True), num_workers=0)
    loader = Runner.build_dataloader(config, seed=3)
    assert (loader.pin_memory, loader.device) == (False, None)


class Ahead(Runner):
    """A runner on a CPU whose batches are sent ahead, as those on a GPU are."""

    @staticmethod
    def build_dataloader(*args: Any, **kwargs: Any) -> DataLoader:
        loader = Runner.build_dataloader(*args, **kwargs)
        loader.device = CPU
        return loader


class Numbers(ToyData):
    """A toy's data, with the number of each sample."""

    def __getitem__(self, index: Any) -> dict:
        return dict(super().__getitem__(index), number=int(index))


class StackingToy(ToyModel):
    def forward(self, inputs: Any, data_samples: Any = None, mode: str = 'tensor') -> Any:
        labels = data_samples if data_samples is None else torch.stack(data_samples)
        return super().forward(torch.stack(inputs), labels, mode)

    def train_step(self, data: dict, optim_wrapper: Any) -> dict:
        return super().train_step({key: data[key] for key in ('inputs', 'data_samples')}, optim_wrapper)


class Seen(Hook):
    """Keeps the numbers of the samples that were trained on, and ends the run before an iteration."""

    def __init__(self, stop: int = 10**9) -> None:
        self.stop = stop
        self.numbers: list[int] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if runner.iter == self.stop:
            raise InterruptedError

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.numbers += data_batch['number']


def trained(work_dir: Path, runner: type, stop: int = 10**9, **more: Any) -> tuple[list[int], list[float]]:
    """Samples of a toy's training in their order, and its weights at the end."""
    torch.manual_seed(0)  # of the model's weights
    seen = Seen(stop)
    data = dict(batch_size=2, dataset=Numbers(), sampler=dict(type='SeededSampler', shuffle=True), num_workers=2)
    hooks = dict(checkpoint=dict(type='CheckpointHook', iterations=1), reproducibility=dict(type='ReproducibilityHook'))
    hooks['checkpoint_format'] = dict(type='CheckpointFormatHook')
    run = toy_runner(
        work_dir,
        runner,
        model=StackingToy(),
        train_dataloader=data | dict(collate_fn=dict(type='flat_collate')),
        default_hooks=hooks,
        custom_hooks=[seen],
        **more,
    )
    with suppress(InterruptedError):
        run.train()
    return seen.numbers, torch.cat([value.flatten() for value in run.model.state_dict().values()]).tolist()


@pytest.fixture(scope='module')
def expected(tmp_path_factory) -> tuple[list[int], list[float]]:
    """What a run whose batches are not sent ahead trains on and ends with."""
    return trained(tmp_path_factory.mktemp('plain'), Runner)


def test_a_run_whose_batches_are_sent_ahead_trains_as_any(expected, tmp_path):
    assert sorted(expected[0]) == sorted(2 * list(range(8)))
    assert trained(tmp_path, Ahead) == expected


@pytest.mark.parametrize('stop', [2, 3, 4, 7])
def test_a_run_that_stops_with_a_batch_sent_ahead_trains_on_it_once(stop, expected, tmp_path):
    before, _ = trained(tmp_path / 'cut', Ahead, stop)
    after, weights = trained(tmp_path / 'cut', Ahead, resume=True)
    assert len(before) == 2 * stop
    assert (before + after, weights) == expected
