"""Broken videos, folders that go, and lists that lead astray cost a sample, a wait, or one clear error."""

import os
import re
import shutil
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from decoders import real_decoders
from helpers import SHARED
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.structures import BaseDataElement
from mutations import fate, read_all, try_copies, write_sources
from runs import TINY, options, run_tool
from torch.utils.data import DataLoader
from videos import clip_pipeline, write_greys

from mmtsf.datasets import SeededSampler, VideoListDataset, video_list
from mmtsf.datasets.decoders import DECODERS, BrokenVideoError
from mmtsf.datasets.loading import SeededIndex, VideoLoader
from mmtsf.engine.hooks import BrokenVideosHook

AWKWARD = SHARED / 'data' / 'awkward'


@real_decoders
def test_mutated_copies_are_read_or_refused_by_name_and_the_epoch_ends(decoder, tmp_path):
    row = try_copies(write_sources(tmp_path), 40, decoder)
    assert row['dead_runs'] == row['hangs'] == 0
    assert row['read'] + row['refused'] + row['crashes'] == 40
    assert row['read'] > 5
    assert row['refused'] > 5


@real_decoders
@pytest.mark.skipif(not AWKWARD.is_dir(), reason='needs ../shared/data/awkward')
def test_every_awkward_file_gives_a_clip_of_training_or_one_error(decoder, tmp_path):
    files = sorted(path for path in AWKWARD.rglob('*') if path.is_file())
    fates = Counter(read_all(tmp_path, files, [Path(write_greys(tmp_path / 'whole.mp4', 30))], decoder))
    assert fates['read'] > len(files) / 2
    assert fates['read'] + fates['refused'] == len(files)


def list_of(folder: Path, **arguments) -> VideoListDataset:
    """The videos ``list.txt`` names, cut at random times."""
    return VideoListDataset('list.txt', clip_pipeline(start='random'), 1, data_root=str(folder), **arguments)


def epoch_of(dataset: VideoListDataset, num_workers: int, at_start=lambda: None) -> list[tuple]:
    """Pixels, names and broken files of an epoch; ``at_start`` is called after the first batch."""
    sampler = SeededSampler(dataset, shuffle=True, seed=0)
    loader = VideoLoader.of(DataLoader(dataset, 2, sampler=sampler, num_workers=num_workers, collate_fn=pseudo_collate))
    samples: list[tuple] = []
    for batch in loader:
        if not samples:
            at_start()
        names = [(sample.filename, sample.broken) for sample in batch['data_samples']]
        samples += [(pixels.tolist(), *name) for pixels, name in zip(batch['inputs'], names)]
    return samples


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """Folder of twelve videos and a list; one that is gone is looked for often."""
    monkeypatch.setattr(video_list, 'LOOK', 0.05)
    folder = tmp_path / 'data'
    folder.mkdir()
    names = [Path(write_greys(folder / f'{number}.mp4', 20)).name for number in range(12)]
    (folder / 'list.txt').write_text(''.join(f'{name} 0\n' for name in names))
    return folder


@pytest.mark.parametrize('num_workers', [0, 2])
@pytest.mark.parametrize('mount_point_stays', [False, True])
def test_a_run_waits_for_a_folder_that_comes_back_and_gives_the_same_samples(mount_point_stays, num_workers, data):
    expected = epoch_of(list_of(data), 0)
    away = data.with_name('away')

    def come_back() -> None:
        if mount_point_stays:
            data.rmdir()
        away.rename(data)

    def leave() -> None:
        data.rename(away)
        if mount_point_stays:
            data.mkdir()
        threading.Timer(0.5, come_back).start()

    assert epoch_of(list_of(data), num_workers, leave) == expected
    assert len(expected) == 12


def test_a_folder_that_goes_while_a_video_is_decoded_changes_no_augmentation(data):
    expected, dataset, away = list_of(data)[SeededIndex(3, (0, 0, 0))], list_of(data), data.with_name('away')

    def leave_once(results: dict) -> dict:
        if not away.with_name('left').exists():
            away.with_name('left').touch()
            data.rename(away)
            threading.Timer(0.5, away.rename, [data]).start()
        return results

    dataset.pipeline.transforms.insert(2, leave_once)  # after the clip was chosen
    got = dataset[SeededIndex(3, (0, 0, 0))]
    assert got['data_samples'].filename == expected['data_samples'].filename
    assert got['inputs'].equal(expected['inputs'])


@pytest.mark.parametrize('num_workers', [0, 2])
def test_a_folder_that_never_comes_back_is_one_error(num_workers, data, monkeypatch):
    monkeypatch.setattr(video_list, 'PATIENCE', 1)
    with pytest.raises(RuntimeError, match=f'{data} is gone and did not come back within 1 s'):
        epoch_of(list_of(data), num_workers, lambda: shutil.rmtree(data))


def test_a_folder_that_was_never_there_is_not_waited_for(data):
    dataset = list_of(data, video_dir='misspelt')
    with pytest.raises(RuntimeError, match='misspelt/.*the file does not exist; check that data.root points at the'):
        dataset[0]


@pytest.mark.parametrize('path', ['../x.mp4', 'sub/../../x.mp4', '/etc/x.mp4', '{outside}/x.mp4', '..'])
@pytest.mark.parametrize('inside', [True, False])
def test_a_path_out_of_the_folder_is_refused_unless_allowed(path, inside, data, monkeypatch):
    path = path.format(outside=data.parent)
    monkeypatch.chdir(data)
    root = str(data) if inside else ''  # the folder in which the run was started
    (data / 'list.txt').write_text(f'1.mp4 0\n{path} 0\n')
    words = re.escape(f'list.txt, line 2: {path!r} leads out of {root or "."}; write paths relative to it, or where')
    with pytest.raises(ValueError, match=words):
        VideoListDataset('list.txt', [], 1, data_root=root)
    dataset = VideoListDataset('list.txt', [], 1, data_root=root, allow_outside=True)
    assert dataset.get_data_info(1)['filename'] == str(Path(root, os.path.normpath(path)))


def test_an_option_allows_paths_out_of_the_folder(motion, tmp_path):
    videos = sorted((motion / 'train').rglob('*.mp4'))[:8]
    (tmp_path / 'list.txt').write_text(''.join(f'{video} 0\n' for video in videos))
    words = [TINY, '--work-dir', tmp_path / 'run']
    lists = {f'data.{split}_list': 'list.txt' for split in ('train', 'val', 'test')}
    changes = {'data.source': 'list', 'max_epochs': 1, **lists}
    log = run_tool('tools/train.py', *words, *options(tmp_path, **changes), fails=True)
    assert f"'{videos[0]}' leads out of {tmp_path}" in log
    run_tool('tools/train.py', *words, *options(tmp_path, **changes, **{'data.allow_outside': True}))


@pytest.mark.parametrize('path', ['{root}/1.mp4', 'sub/../1.mp4', './1.mp4', 'link/../1.mp4'])
def test_a_path_within_the_folder_is_taken_however_it_is_written(path, data):
    (data.parent / 'elsewhere').mkdir()
    (data / 'link').symlink_to(data.parent / 'elsewhere')  # link/.. is the folder outside for the kernel
    (data / 'list.txt').write_text(f'{path.format(root=data)} 0\n')
    assert list_of(data).get_data_info(0)['filename'] == str(data / '1.mp4')


def test_a_decoders_own_error_is_a_broken_video_too(data, monkeypatch):
    dataset = list_of(data, test_mode=True)

    def strange(path: str, limits: object) -> None:
        raise UnicodeDecodeError('utf-8', b'', 0, 1, 'no text')

    monkeypatch.setitem(DECODERS, 'pyav', strange)
    with pytest.raises(BrokenVideoError) as error:
        dataset[0]
    assert str(error.value).startswith(f'{data}/0.mp4: UnicodeDecodeError: ')


def test_names_that_are_no_utf8_are_read_and_named(data, tmp_path):
    name = os.fsdecode(b'caf\xe9.mp4')
    shutil.copy(data / '1.mp4', data / name)
    dataset = list_of(data)
    dataset.data_list = [dict(filename=str(data / name), label=0)] * 2
    dataset._fully_initialized, dataset.serialize_data = True, False
    assert [fate(name, dict(broken=broken, filename=name)) for _, _, broken in epoch_of(dataset, 1)] == ['read'] * 2


def judge(hook: BrokenVideosHook, work_dir: Path, samples: list[tuple[str, list]]) -> None:
    runner = SimpleNamespace(logger=MMLogger.get_current_instance(), work_dir=str(work_dir))
    batch = [BaseDataElement(metainfo=dict(filename=name, broken=broken)) for name, broken in samples]
    hook.before_train_iter(runner, 0, dict(data_samples=batch))


def test_clips_of_one_video_count_once(tmp_path):
    hook, bad = BrokenVideosHook(max_share=0.3, min_seen=5), [('bad.mp4', 'bad.mp4: no video')]
    judge(hook, tmp_path, [('a.mp4', bad)] * 4 + [('b.mp4', [])] * 4 + [('c.mp4', [])] * 4)
    assert (hook.seen, hook.drawn_broken) == (4, 1)
    with pytest.raises(RuntimeError, match='3 of 8 videos drawn for training are broken, more than the share of 0.3'):
        judge(hook, tmp_path, [('a.mp4', bad)] * 4 + [('b.mp4', bad)] * 4)


def test_a_video_is_listed_once_in_all_runs_of_a_work_dir(tmp_path):
    for _ in range(2):
        hook = BrokenVideosHook()
        for path in ('one.mp4', 'two.mp4', 'one.mp4', os.fsdecode(b'caf\xe9.mp4')):
            judge(hook, tmp_path, [('a.mp4', [(path, f'{path}: no video')])])
    listed = (tmp_path / 'broken_videos.txt').read_bytes().splitlines()
    names = [b'one.mp4', b'two.mp4', b'caf\xe9.mp4']
    assert listed == [name + b'\t' + name + b': no video' for name in names]


def test_a_list_that_cannot_be_written_does_not_end_the_run(tmp_path):
    (tmp_path / 'broken_videos.txt').mkdir()
    judge(BrokenVideosHook(), tmp_path, [('a.mp4', [('one.mp4', 'one.mp4: no video')])])
