"""Videos in shards: written once each, read at any place and in any order, and never outside."""

import argparse
import io
import json
import os
import resource
import shutil
import tarfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from object_store import serving
from runs import in_process
from torch.utils.data import DataLoader
from videos import clip_pipeline, write_greys

from mmtsf.config import load_config, resolve, settle
from mmtsf.config.data_source import check_source
from mmtsf.datasets import SeededSampler, VideoFolderDataset, VideoShardsDataset
from mmtsf.datasets.loading import VideoLoader
from mmtsf.datasets.loading.seeds import SeededIndex
from mmtsf.datasets.shards import ShardError, names_in_shards, read_index, video_by_name, video_in_shard
from mmtsf.preparation import shards as writer
from mmtsf.utils.files import alone_in
from mmtsf.utils.remote_cache import CacheError

CLASSES = ['jump', 'run', 'sit']
#: Of each class
VIDEOS = 8


def transcode(*words: object) -> int | None:
    """The command, in this process: its exit status, or raises."""
    return in_process('transcode', *words, '--workers', 2)


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Class folders of videos of one frame more each, so that every video is another one."""
    folder = tmp_path_factory.mktemp('source') / 'videos'
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(VIDEOS):
            write_greys(folder / name / f'{number} a.mp4', 2 + label * VIDEOS + number, 32, 32)
    return folder


@pytest.fixture(scope='module')
def shards(folder) -> Path:
    """The same in shards of five videos at most."""
    init_default_scope('mmtsf')
    out = folder.parent / 'shards/train'
    assert transcode(folder, out, '--shards', 5, '--copy') == 0
    return out


@pytest.fixture
def changed(shards, tmp_path) -> Callable[[Callable[[dict], None]], Path]:
    """A copy of the shards, the first line of whose index behind the head is changed by a function."""

    def change(how: Callable[[dict], None]) -> Path:
        shutil.copytree(shards, tmp_path / 'train')
        file = tmp_path / 'train/index.jsonl'
        head, line, *rest = file.read_text().splitlines(keepends=True)
        values = json.loads(line)
        how(values)
        file.write_text(''.join([head, json.dumps(values) + '\n', *rest]))
        return file.parent

    return change


def dataset_of(folder: Path, split: str = 'train', **more) -> VideoShardsDataset:
    """All videos of ``.../train``, or others beside it."""
    more = dict(pipeline=clip_pipeline(start='random'), num_classes=None) | more
    return VideoShardsDataset(split=split, data_root=str(folder.parent), **more)


def names_in(folder: Path) -> Counter:
    """Names of all videos of an index, and how often each is there."""
    return Counter(video.name for shard in read_index(folder).shards for video in shard.videos)


def test_every_video_is_there_once_and_webdataset_reads_it(folder, shards):
    expected = {f'{name}/{number} a.mp4' for name in CLASSES for number in range(VIDEOS)}
    assert names_in(shards) == Counter(expected)
    index = read_index(shards)
    assert [len(shard.videos) for shard in index.shards] == [5, 5, 5, 5, 4]
    assert index.classes == CLASSES
    files = [str(shards / shard.name) for shard in index.shards]
    samples = list(webdataset.WebDataset(files, shardshuffle=False).decode())
    assert {sample['json']['name'] for sample in samples} == expected
    for sample in samples:
        told = sample['json']
        assert sample['mp4'] == (folder / told['name']).read_bytes()
        assert [told['labels'], told['classes']] == [[sample['cls']], [told['name'].split('/')[0]]]
        assert CLASSES[sample['cls']] == told['classes'][0]
    assert {file.name for file in shards.iterdir()} == {
        'transcode.json',
        'index.jsonl',
        *(shard.name for shard in index.shards),
    }


def test_samples_are_those_of_the_folder_and_so_are_the_splits(folder, shards):
    for split in ('train', 'val', 'test'):
        how = dict(pipeline=[], num_classes=3, split=split)
        theirs = VideoFolderDataset(data_root=str(folder), **how)
        ours = VideoShardsDataset(data_root=str(shards), **how)
        expected = {(str(Path(d['filename']).relative_to(folder)), d['label']) for d in theirs.load_data_list()}
        assert {
            ('/'.join(Path(d['filename']).parts[-2:]), d['label']) for d in map(ours.get_data_info, range(len(ours)))
        } == expected
    whole = dataset_of(shards)
    assert whole.metainfo['classes'] == CLASSES
    numbers = {
        sample['data_samples'].filename.split('.tar/')[1]: sample for sample in map(whole.__getitem__, range(24))
    }
    assert numbers['run/3 a.mp4']['inputs'].shape[-3:] == (2, 32, 32)


def test_a_list_keeps_its_labels_and_the_names_that_are_given(folder, tmp_path):
    (tmp_path / 'list.txt').write_text('run/0 a.mp4 run\nsit/1 a.mp4 sit\njump/2 a.mp4 0\n')
    (tmp_path / 'classes.txt').write_text('\n'.join(CLASSES))
    with pytest.raises(
        ValueError, match="list.txt has the label 'run'; give the names of the classes as --classes FILE"
    ):
        transcode(tmp_path / 'list.txt', tmp_path / 'none', '--root', folder, '--shards', '--copy')
    words = [tmp_path / 'list.txt', tmp_path / 'out', '--root', folder, '--shards', '--copy']
    assert transcode(*words, '--classes', tmp_path / 'classes.txt') == 0
    (shard,) = read_index(tmp_path / 'out').shards
    assert {video.name: video.labels for video in shard.videos} == {
        'run/0 a.mp4': [1],
        'sit/1 a.mp4': [2],
        'jump/2 a.mp4': [0],
    }
    (tmp_path / 'plain.txt').write_text('run/0 a.mp4\nsit/1 a.mp4\n')
    transcode(tmp_path / 'plain.txt', tmp_path / 'plain', '--root', folder, '--shards', '--copy')
    with pytest.raises(ValueError, match='has 0 labels, expected one, as training needs'):
        VideoShardsDataset([], 'train', 2, str(tmp_path / 'plain'))


def test_videos_whose_names_would_be_one_are_told_apart(folder, tmp_path):
    (tmp_path / 'videos').mkdir()
    for place, name in enumerate(['a\x07.mp4', 'a\x08.mp4', 'b.mp4', 'b (2).mp4']):
        shutil.copy(folder / f'run/{place} a.mp4', tmp_path / 'videos' / name)
    shutil.copy(folder / 'run/5 a.mp4', tmp_path / 'b.mp4')
    (tmp_path / 'list.txt').write_text('a\x07.mp4 0\na\x08.mp4 1\nb.mp4 0\nb.mp4 1\nb (2).mp4 0\n')
    assert (
        transcode(tmp_path / 'list.txt', tmp_path / 'out/train', '--shards', '--copy', '--root', tmp_path / 'videos')
        == 0
    )
    names = {'a\ufffd.mp4', 'a\ufffd (2).mp4', 'b.mp4', 'b (3).mp4', 'b (2).mp4'}
    assert names_in(tmp_path / 'out/train') == Counter(names)
    assert {name.split('/', 1)[1] for name in names_in_shards(tmp_path / 'out/train')} == names
    dataset = VideoShardsDataset([], 'train', 2, str(tmp_path / 'out'))
    assert len(dataset) == 5
    paths = ['s3://b/x.mp4', 'b/x.mp4', '../b/x.mp4', 'y', '/y']
    assert [video.name for video in writer.named((path, []) for path in paths)] == [
        *('b/x.mp4', 'b/x (2).mp4', 'b/x (3).mp4'),
        *('y', 'y (2)'),
    ]


@pytest.mark.parametrize('stray', ['loose.mp4', 'train/loose.mp4', 'train/run/a/b/c/d/e/f/deep.mp4'])
def test_no_video_is_left_out_beside_class_folders(stray, folder, tmp_path):
    source = tmp_path / ('source/train' if stray.startswith('train') else 'source')
    shutil.copytree(folder, source)
    (tmp_path / 'source' / stray).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / 'run/0 a.mp4', tmp_path / 'source' / stray)
    with pytest.raises(
        ValueError, match=f'{stray} lies beside the class|1 videos of .*source lie in no class .*{stray}'
    ):
        transcode(tmp_path / 'source', tmp_path / 'out', '--shards', '--copy')


def test_two_commands_do_not_write_to_one_folder(folder, tmp_path):
    with (
        alone_in(tmp_path / 'out'),
        pytest.raises(OSError, match='another command writes to .*out; wait for its end, or give another folder'),
    ):
        transcode(folder, tmp_path / 'out', '--shards', '--copy')
    assert list((tmp_path / 'out').iterdir()) == []


def test_splits_in_folders_are_splits_of_shards_and_videos_are_encoded(folder, tmp_path, capsys):
    for split, number in (('train', 0), ('val', 1)):
        for name in CLASSES:
            (tmp_path / 'source' / split / name).mkdir(parents=True)
            (tmp_path / 'source' / split / name / 'v.mp4').write_bytes((folder / name / f'{number} a.mp4').read_bytes())
    (tmp_path / 'source/train/run/broken.mp4').write_text('no video')
    assert transcode(tmp_path / 'source', tmp_path / 'out', '--shards', 2, '--short-side', 16) == 1
    assert (tmp_path / 'out/train/broken.txt').read_text().startswith('train/run/broken.mp4\tPyAV finds no video')
    assert 'broken: train/run/broken.mp4: PyAV' in capsys.readouterr().err
    train, val, test = (dataset_of(tmp_path / 'out/train', split, num_classes=3) for split in ('train', 'val', 'test'))
    assert (len(train), len(val), len(test)) == (3, 3, 3)
    assert val.digest == test.digest != train.digest
    assert train[0]['data_samples'].filename.startswith(str(tmp_path / 'out/train/0000'))
    config = load_config('configs/timesformer_tiny_motion.py', {'data.root': str(tmp_path / 'out')})
    assert config.val_dataloader.dataset.type == 'VideoShardsDataset'
    assert config.model.cls_head.num_classes == 3


@pytest.mark.parametrize(
    ('how', 'words'),
    [
        (lambda line: line.update(name='../000000.tar'), "the name of a shard is '../000000.tar'"),
        (lambda line: line.update(name='http://other/a.tar'), "the name of a shard is 'http://other/a.tar'"),
        (lambda line: line.update(name='000001.tar'), 'lists a shard twice'),
        (lambda line: line.update(size=True), 'the size of a shard is True'),
        (lambda line: line.update(size=10**30), 'the size of a shard is 1000'),
        (lambda line: line.update(sha256='0'), "the sha256 of a shard is '0'"),
        (lambda line: line.update(videos=[]), r'the videos of a shard is \[\]'),
        (lambda line: line['videos'].pop(), 'lists 5 shards of 23 videos, and its first line says 5 of 24'),
        (lambda line: line['videos'].append(line['videos'][0]), '000000.tar lists a file twice'),
        (lambda line: line['videos'][0].__setitem__(0, '/etc/passwd'), 'the name of a file is none'),
        (lambda line: line['videos'][0].__setitem__(1, 512.0), 'a video lies outside its shard'),
        (lambda line: line['videos'][0].__setitem__(1, 0), 'a video lies outside its shard'),
        (lambda line: line['videos'][0].__setitem__(1, 513), 'a video lies outside its shard'),
        (lambda line: line['videos'][0].__setitem__(2, line['size']), 'a video lies outside its shard'),
        (lambda line: line['videos'][0].__setitem__(2, -1), 'a video lies outside its shard'),
        (lambda line: line['videos'][0].__setitem__(3, [3]), r'a label is not in \[0, 3\)'),
        (lambda line: line['videos'][0].__setitem__(3, [0, 0]), 'labels are no list of different numbers'),
        (lambda line: line['videos'][0].__setitem__(3, '0'), 'labels are no list of different numbers'),
        (
            lambda line: line['videos'][0].__setitem__(4, '../../a.mp4'),
            'the name of a video is no path within a folder',
        ),
        (lambda line: line['videos'][0].__setitem__(4, 'a\nb'), 'the name of a video is no path within a folder'),
        (lambda line: line['videos'].__setitem__(0, 7), 'a video is not'),
        (
            lambda line: line['videos'][0].__setitem__(4, line['videos'][1][4]),
            r"index.jsonl lists '\w+/\d a.mp4' twice",
        ),
    ],
)
def test_an_index_that_no_writer_has_written_is_refused_by_its_line(how, words, changed):
    with pytest.raises(ShardError, match=words):
        read_index(changed(how))


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('', 'line 1 is no JSON'),
        ('{"format": "other"}\n', "does not begin with the line of 'mmtsf shards 1'"),
        ('[' * 10**5 + '\n', 'line 1 is no JSON'),
        (
            '{"format": "mmtsf shards 1", "classes": ["a", "a"], "shards": 0, "videos": 0}\n',
            'no list of different names',
        ),
        ('{"format": "mmtsf shards 1", "classes": null, "shards": 1, "videos": 1}\n{"name"', 'line 2 is no JSON'),
        ('{"format": "mmtsf shards 1", "classes": null, "shards": 1, "videos": 1}\n', 'lists 0 shards of 0 videos'),
    ],
)
def test_what_is_no_whole_index_is_refused(text, words, tmp_path):
    (tmp_path / 'index.jsonl').write_text(text)
    with pytest.raises(ShardError, match=words):
        read_index(tmp_path)


def rename_member(file: Path) -> None:
    """Give the first video another name in its header."""
    with tarfile.open(file) as tar:
        first = next(member for member in tar if member.name.endswith('.mp4'))
    data = bytearray(file.read_bytes())
    other = tarfile.TarInfo('other.mp4')
    other.size = first.size
    data[first.offset_data - 512 : first.offset_data] = other.tobuf(tarfile.USTAR_FORMAT)
    file.write_bytes(data)


@pytest.mark.parametrize(
    ('how', 'words'),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-512]), r'000000.tar has \d+ bytes, and \d+ in its index'),
        (lambda file: file.write_bytes(bytes(file.stat().st_size)), '000000.tar has no header of'),
        (rename_member, "000000.tar holds 'other.mp4' of"),
        (lambda file: file.unlink(), '000000.tar cannot be read: No such file or directory; copy it there again'),
        (lambda file: (file.unlink(), file.mkdir()), '000000.tar is no regular file'),
        (lambda file: (file.unlink(), os.mkfifo(file)), '000000.tar is no regular file'),
    ],
)
def test_a_shard_that_does_not_fit_its_index_is_an_error_that_names_it(how, words, changed):
    root = changed(lambda line: None)
    how(root / '000000.tar')
    first = next(video for video in read_index(root).shards[0].videos)
    dataset = dataset_of(root)
    place = next(i for i in range(len(dataset)) if dataset.get_data_info(i)['filename'].endswith(first.name))
    with pytest.raises(ShardError, match=words):
        dataset[place]


def test_a_video_that_is_broken_costs_its_sample(changed):
    root = changed(lambda line: None)
    shard = read_index(root).shards[0]
    data = bytearray((root / shard.name).read_bytes())
    video = shard.videos[0]
    data[video.offset : video.offset + video.size] = bytes(video.size)
    (root / shard.name).write_bytes(data)
    sample = dataset_of(root)[0]['data_samples']
    ((path, reason),) = sample.broken
    assert path == f'{root}/{shard.name}/{video.name}'
    assert 'PyAV finds no video' in reason
    assert sample.filename != path


def test_a_large_video_is_read_in_parts(shards, monkeypatch):
    expected = dataset_of(shards, pipeline=clip_pipeline())[3]['inputs']
    monkeypatch.setattr(video_in_shard, 'AT_ONCE', 512)
    dataset = dataset_of(shards, pipeline=clip_pipeline())
    assert torch.equal(dataset[3]['inputs'], expected)
    file = dataset._begun(dataset.get_data_info(3))['file']()
    whole = file.read()
    assert file.seek(-4, io.SEEK_END) == len(whole) - 4
    assert file.read() == whole[-4:]


# The order


class OfShards:
    """Stands for a data set of so many shards, of so many samples each."""

    def __init__(self, shards: int, samples: int, window: int | None) -> None:
        self.shards, self.samples, self.window = shards, samples, window

    def __len__(self) -> int:
        return self.shards * self.samples

    def shard_of(self, index: int) -> int:
        return index // self.samples


def order_of(dataset: OfShards, epoch: int, rank: int = 0, processes: int = 1) -> list[int]:
    sampler = SeededSampler(dataset, shuffle=True, seed=3)
    sampler.rank, sampler.world_size = rank, processes
    sampler.num_samples = -(-len(dataset) // processes)
    sampler.total_size = sampler.num_samples * processes
    sampler.set_epoch(epoch)
    return list(sampler)


def test_a_window_keeps_to_few_shards_and_every_sample_comes_once():
    dataset = OfShards(50, 20, window=6)
    order = order_of(dataset, 4)
    assert sorted(order) == list(range(1000))
    assert order == order_of(dataset, 4)
    assert order != order_of(dataset, 5)
    assert [index.seed for index in order[:3]] == [(3, 4, index) for index in order[:3]]
    open_at = [len({index // 20 for index in order[start : start + 40]}) for start in range(0, 1000, 40)]
    assert max(open_at) <= 6 + 3  # of a window that moves by two shards meanwhile
    reach = [np.ptp([place for place, index in enumerate(order) if index // 20 == shard]) for shard in range(50)]
    assert max(reach) <= 7 * 20
    dealt = [order_of(dataset, 4, rank, 3) for rank in range(3)]
    assert [index for batch in zip(*dealt) for index in batch][:1000] == order


def test_a_window_that_cannot_be_kept_is_refused(shards):
    with pytest.raises(ValueError, match='window is 0, expected a number of shards of at least 1'):
        dataset_of(shards, window=0)
    from mmengine.dataset import RepeatDataset

    with pytest.raises(ValueError, match='window is 2, but RepeatDataset wraps the shards'):
        SeededSampler(RepeatDataset(dataset_of(shards, window=2), 2))


def read(root: Path, num_workers: int, first: int = 0, kill: Callable = lambda number: None) -> list[tuple]:
    """Names and pixels of an epoch, from a batch on."""
    dataset = dataset_of(root, window=2)
    loader = DataLoader(
        dataset, 3, sampler=SeededSampler(dataset, seed=1), num_workers=num_workers, collate_fn=pseudo_collate
    )
    loader = VideoLoader.of(loader)
    loader.first_batch, found = first, []
    for number, batch in enumerate(loader):
        kill(number)
        found += [
            (s.filename.split('/train/')[1], p.numpy().tobytes())
            for s, p in zip(batch['data_samples'], batch['inputs'])
        ]
    return found


def test_an_epoch_goes_on_in_its_middle_with_other_workers_and_after_kills_with_each_video_once(shards):
    import multiprocessing

    whole = read(shards, 0)
    assert len({name for name, _ in whole}) == len(whole) == 24

    def kill(number: int) -> None:
        if number in (1, 4):
            for worker in multiprocessing.active_children()[:1]:
                worker.kill()

    assert read(shards, 2, kill=kill) == whole
    assert read(shards, 1, first=5) == whole[15:]


# Writing


def test_writing_goes_on_where_it_was_interrupted(folder, shards, tmp_path, monkeypatch, capsys):
    words = folder, tmp_path / 'out/train', '--shards', 5, '--copy'
    real = writer.ShardParts.write
    for stop in (1, 2, 'finish'):
        done = []

        def stopping(*args, stop=stop, done=done):
            for result in real(*args):
                yield result
                if len(done) == stop:
                    raise KeyboardInterrupt
            done.append(args[1])

        with monkeypatch.context() as patch:
            if stop == 'finish':
                patch.setattr(writer, 'head_line', lambda *_: 1 / 0)
            else:
                patch.setattr(writer.ShardParts, 'write', stopping)
            with pytest.raises((KeyboardInterrupt, ZeroDivisionError)):
                transcode(*words)
        assert not (tmp_path / 'out/train/index.jsonl').exists()
        with pytest.raises(FileNotFoundError, match='holds no shards of the split'):
            dataset_of(tmp_path / 'out/train')
    capsys.readouterr()
    assert transcode(*words) == 0
    assert '24 videos in ' in capsys.readouterr().out
    assert {file.name: file.read_bytes() for file in (tmp_path / 'out/train').iterdir()} == {
        file.name: file.read_bytes() for file in shards.iterdir()
    }
    assert transcode(*words) == 0
    assert '24 of them done before, 0 broken' in capsys.readouterr().out
    with pytest.raises(ValueError, match='train was begun with'):
        transcode(folder, tmp_path / 'out/train', '--shards', 6, '--copy')


@pytest.mark.parametrize(
    ('words', 'error'),
    [
        (['--copy'], '--copy is for shards; give --shards, or leave --copy out'),
        (['--shards', '--copy', '--crf', '20'], '--copy encodes nothing, and has no use for --crf'),
        (['--shards', '0'], '--shards is 0, expected a number from 1 to 1000000'),
        (['--shards', '--classes', 'none.txt'], '--classes is for lists'),
    ],
)
def test_options_without_a_meaning_are_refused(words, error, folder, tmp_path, refused):
    with refused(error):
        transcode(folder, tmp_path / 'out', *words)


def test_videos_that_cannot_be_read_at_all_leave_no_index(tmp_path):
    (tmp_path / 'source').mkdir()
    (tmp_path / 'source/a.mp4').write_text('none')
    with pytest.raises(RuntimeError, match='none of the 1 videos could be read; see .*broken.txt'):
        transcode(tmp_path / 'source', tmp_path / 'out', '--shards')


# Configs


def test_words_for_lists_ask_for_lists_and_those_of_shards_for_shards(shards):
    options = {'data.root': str(shards)}
    config = settle(load_config_unresolved(options | {'data.window': 4}))
    check_source(config)
    assert resolve(config).train_dataloader.dataset.window == 4
    for more in ({'data.split_seed': 3}, {'data.multi_class': False}):
        found = load_config('configs/timesformer_tiny_motion.py', options | more)
        assert found.train_dataloader.dataset.type == 'VideoShardsDataset'
    found = load_config('configs/timesformer_tiny_motion.py', options | {'data.train_list': 'mine.txt'})
    assert found.train_dataloader.dataset.type == 'VideoListDataset'


def load_config_unresolved(options: dict) -> argparse.Namespace:
    from mmtsf.config import read_config

    return read_config('configs/timesformer_tiny_motion.py', options)


# Addresses


@pytest.mark.parametrize('store', ['s3', 'web'])
def test_a_clip_at_an_address_is_one_request_of_its_bytes(store, shards, request):
    store = request.getfixturevalue(store)
    address = store.put_folder(shards, 'sets/train')
    dataset = VideoShardsDataset(clip_pipeline(), 'train', None, address.removesuffix('/train'))
    expected = dataset_of(shards, pipeline=clip_pipeline())
    dataset[0]
    store.server.clear()
    sizes = 0
    for index in range(5):
        sample = dataset[index]
        assert torch.equal(sample['inputs'], expected[index]['inputs'])
        sizes += dataset.get_data_info(index)['place'][3] + 512
        assert sample['data_samples'].filename.startswith(f'{address}/0000')
    assert [asked.method for asked in store.server.asked] == ['GET'] * 5
    assert store.server.sent == sizes


def test_a_cache_fetches_each_shard_once_for_all_workers_and_keeps_to_its_size(shards, web, tmp_path, monkeypatch):
    address = web.put_folder(shards, 'sets/train').removesuffix('/train')
    largest = max(shard.size for shard in read_index(shards).shards)
    dataset = VideoShardsDataset(clip_pipeline(start='random'), 'train', None, address, window=2)
    monkeypatch.setenv('MMTSF_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setenv('MMTSF_CACHE_SIZE', str(4 * largest))
    web.server.clear()
    assert read_all(dataset) == read(shards, 0)
    fetched = Counter(asked.path for asked in web.server.asked if asked.method == 'GET')
    assert set(fetched.values()) == {1}
    assert len(fetched) == 5
    assert sum(file.stat().st_size for file in (tmp_path / 'cache').glob('??/*')) <= 4 * largest
    assert not list((tmp_path / 'cache').rglob('*.part'))


def read_all(dataset: VideoShardsDataset) -> list[tuple]:
    sampler = SeededSampler(dataset, seed=1)
    how = dict(sampler=sampler, num_workers=2, prefetch_factor=1, collate_fn=pseudo_collate)
    loader = VideoLoader.of(DataLoader(dataset, 1, **how))
    return [
        (f'{s.filename.split("/train/")[1]}', p.numpy().tobytes())
        for batch in loader
        for s, p in zip(batch['data_samples'], batch['inputs'])
    ]


def test_a_cache_that_would_fetch_again_and_again_or_other_bytes_is_refused(changed, web, tmp_path, monkeypatch):
    address = web.put_folder(changed(lambda line: line.update(sha256='0' * 64)), 'train').removesuffix('/train')
    monkeypatch.setenv('MMTSF_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setenv('MMTSF_CACHE_SIZE', '100K')
    with pytest.raises(ValueError, match='MMTSF_CACHE_SIZE holds 102400 bytes, but the shards that are read at a time'):
        VideoShardsDataset([], 'train', None, address)
    dataset = VideoShardsDataset([], 'train', None, address, window=1)
    with pytest.raises(ShardError, match='000000.tar has .* bytes with the checksum .*, and its index says'):
        dataset[0]


@pytest.fixture
def cached(shards, web, tmp_path, monkeypatch) -> Callable[[], VideoShardsDataset]:
    """Makes a data set of the shards at an address, with a cache."""
    address = web.put_folder(shards, 'sets/train').removesuffix('/train')
    monkeypatch.setenv('MMTSF_CACHE', str(tmp_path / 'cache'))
    return lambda: VideoShardsDataset(clip_pipeline(start='random'), 'train', None, address)


def damage(file: Path) -> None:
    """Change bytes, and not their number."""
    file.write_bytes(bytes(1024) + os.urandom(file.stat().st_size - 1024))


@pytest.mark.parametrize('how', [damage, lambda f: f.write_bytes(b'x'), lambda f: (f.unlink(), f.mkdir())])
def test_what_the_disk_of_a_cache_has_damaged_is_fetched_anew(how, cached, tmp_path):
    clean = [cached()[SeededIndex(place, (0, place))]['inputs'] for place in range(0, 24, 5)]
    files = sorted((tmp_path / 'cache').glob('??/*'))
    assert len(files) == 6
    for file in files:
        how(file)
    dataset = cached()
    for place, expected in zip(range(0, 24, 5), clean):
        assert torch.equal(dataset[SeededIndex(place, (0, place))]['inputs'], expected)


def test_a_video_of_a_copy_that_the_disk_has_damaged_is_read_anew(cached, tmp_path):
    dataset = cached()
    clean = dataset[SeededIndex(2, (0, 2))]['inputs']
    number, _, offset, size = dataset.get_data_info(2)['place']
    (copy,) = (tmp_path / 'cache').glob(f'??/{dataset.shards[number].sha256}')
    with copy.open('r+b') as file:
        file.seek(offset)
        file.write(bytes(size))
    again = dataset[SeededIndex(2, (0, 2))]
    assert again['data_samples'].broken == []
    assert torch.equal(again['inputs'], clean)


def test_a_cache_that_cannot_be_written_is_an_error_and_costs_no_video(cached, tmp_path):
    words = 'MMTSF_CACHE is .*cache, which cannot be used: {}; make room there, choose another folder, or unset MMTSF'
    (tmp_path / 'cache').write_text('a file')
    with pytest.raises(CacheError, match=words.format('File exists')):
        cached()
    (tmp_path / 'cache').unlink()
    dataset, (_, most) = cached(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, most))
    try:
        with pytest.raises(CacheError, match=words.format('File too large')):
            dataset[0]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert not list((tmp_path / 'cache').rglob('*.part'))
    assert dataset[0]['data_samples'].broken == []


def test_a_shard_that_a_server_does_not_give_ends_the_run_and_one_that_is_gone_is_waited_for(shards, web, monkeypatch):
    for name, value in dict(ATTEMPTS=1, FIRST_WAIT=0.01).items():
        monkeypatch.setattr(f'mmtsf.utils.remote_calls.{name}', value)
    address = web.put_folder(shards, 'sets/train').removesuffix('/train')
    dataset = VideoShardsDataset(clip_pipeline(), 'train', None, address)
    web.server.always = 503
    threading.Timer(0.5, setattr, [web.server, 'always', None]).start()
    assert dataset[0]['data_samples'].broken == []
    (web.root / 'sets/train/000000.tar').unlink()
    with pytest.raises(ShardError, match='000000.tar does not exist; correct the address; copy it there again, or'):
        dataset[0]

    def without_ranges(environ: dict, start_response: Callable) -> object:
        return web.server.app({k: v for k, v in environ.items() if k != 'HTTP_RANGE'}, start_response)

    with serving(without_ranges) as server:
        dataset = VideoShardsDataset(clip_pipeline(), 'train', None, f'http://127.0.0.1:{server.port}/sets')
        with pytest.raises(ShardError, match='the server gives no ranges of files, .*; set MMTSF_CACHE to a folder'):
            dataset[-1]


# Commands


def test_folders_of_shards_and_videos_may_be_called_as_shards_are(folder, tmp_path):
    (tmp_path / 'source/b.tar').mkdir(parents=True)
    shutil.copy(folder / 'run/0 a.mp4', tmp_path / 'source/b.tar/c.mp4')
    assert transcode(tmp_path / 'source', tmp_path / 'x.tar', '--shards', '--copy') == 0
    (name,) = names_in_shards(tmp_path / 'x.tar')
    assert name == '000000.tar/b.tar/c.mp4'
    assert video_by_name(str(tmp_path / 'x.tar' / name))().read() == (folder / 'run/0 a.mp4').read_bytes()


def test_commands_list_and_open_the_videos_of_shards_by_name(changed, tmp_path, refused):
    root = changed(lambda line: None)
    names = {f'{shard.name}/{video.name}' for shard in read_index(root).shards for video in shard.videos}
    assert in_process('check', root, '--workers', 2) == 0
    good = (tmp_path / 'train.checked/good.txt').read_text().splitlines()
    assert {line.strip('"') for line in good} == names
    whole = root / '000000.tar'
    whole.write_bytes(whole.read_bytes()[:-1] + b'x')
    video_by_name.__globals__['_videos'].cache_clear()
    assert in_process('check', root, '--workers', 2) == 1
    assert '000000.tar\tShardError: ' in (tmp_path / 'train.checked/bad.txt').read_text()
    with refused('holds shards; give the videos that they were made of'):
        transcode(root, tmp_path / 'more')


def test_an_opener_that_reads_files_alone_is_refused(shards):
    with pytest.raises(ValueError, match='DecordInit opens files, not videos in shards; begin the pipeline with OpenV'):
        dataset_of(shards, pipeline=[dict(type='DecordInit'), dict(type='DecordDecode')])


@pytest.mark.long
def test_predictions_name_the_videos_of_shards(changed, tiny_checkpoint, tmp_path):
    root = changed(lambda line: None)
    words = 'configs/timesformer_tiny_motion.py', tiny_checkpoint
    assert in_process('predict', tmp_path, *words, '--json', tmp_path / 'found.json') == 0
    found = json.loads((tmp_path / 'found.json').read_text())
    names = {f'{shard.name}/{video.name}' for shard in read_index(root).shards for video in shard.videos}
    assert {row['video'].removeprefix(f'{root}/') for row in found} == names
