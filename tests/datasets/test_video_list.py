"""Lists of videos: what they may hold, what they may not, and videos that cannot be read."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch
from videos import clip_pipeline, grey_frames, numbers_of, write_greys

from mmtsf.datasets import VideoFolderDataset, VideoListDataset, video_list
from mmtsf.datasets.decoders import BrokenVideoError
from mmtsf.datasets.loading import SeededIndex

CLASSES = ['cat', 'dog', 'playing guitar']


@pytest.fixture
def read_list(tmp_path: Path) -> Callable[..., list[tuple]]:
    """Reads a list of this name and text: path relative to the folder, and label, of every video."""

    def read(name: str, text: str, **arguments) -> list[tuple]:
        (tmp_path / name).write_text(text, encoding='utf-8')
        dataset = VideoListDataset(name, [], num_classes=3, data_root=str(tmp_path), **arguments)
        infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        return [
            (str(Path(info['filename']).relative_to(tmp_path)), torch.as_tensor(info['label']).tolist())
            for info in infos
        ]

    return read


@pytest.fixture
def broken_and_whole(tmp_path: Path) -> Callable[..., VideoListDataset]:
    """Makes a data set of a broken video of class 0, and a whole one, second in the list, of class 1."""
    (tmp_path / 'broken.mp4').write_text('no video')
    write_greys(tmp_path / 'whole.mp4', 5)
    (tmp_path / 'list.txt').write_text('broken.mp4 0\nwhole.mp4 1\n')

    def make(**arguments) -> VideoListDataset:
        return VideoListDataset('list.txt', clip_pipeline(), num_classes=2, data_root=str(tmp_path), **arguments)

    return make


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('list.txt', 'a.mp4 0\nsub/b c.mp4 2\nframes 1\n'),
        ('list.txt', '\na.mp4 0\n\nsub/b c.mp4   2 \r\nframes\t1'),
        ('list.csv', 'a.mp4,0\nsub/b c.mp4,2\nframes,1\n'),
        ('list.csv', 'path,label\r\na.mp4,0\r\n\r\nsub/b c.mp4, 2\r\nframes,1\r\n'),
        ('list.csv', '"a.mp4","0"\n"sub/b c.mp4","2"\n"frames",1\n'),
    ],
)
def test_a_list_names_a_video_and_its_label_a_line(name, text, read_list):
    assert read_list(name, text) == [('a.mp4', 0), ('sub/b c.mp4', 2), ('frames', 1)]


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('list.txt', 'a.mp4 dog\nclip 3.mp4 cat\nb.mp4 2\n'),
        ('list.csv', 'a.mp4,dog\nclip 3.mp4,cat\nb.mp4,playing guitar\n'),
        ('list.csv', 'video,class\na.mp4,dog\nclip 3.mp4,cat\nb.mp4,playing guitar\n'),
    ],
)
def test_a_label_may_be_the_name_of_a_class(name, text, read_list):
    assert read_list(name, text, classes=CLASSES) == [('a.mp4', 1), ('clip 3.mp4', 0), ('b.mp4', 2)]


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('list.txt', 'a.mp4 0 2\nb c.mp4 dog\n'),
        ('list.csv', 'a.mp4,0,2\nb c.mp4,1\n'),
        ('list.csv', 'path,label,label\na.mp4,cat,2\nb c.mp4,dog\n'),
    ],
)
def test_a_video_may_have_several_labels(name, text, read_list):
    expected = [('a.mp4', [1.0, 0.0, 1.0]), ('b c.mp4', [0.0, 1.0, 0.0])]
    assert read_list(name, text, classes=CLASSES, multi_class=True) == expected


def test_a_path_may_hold_a_comma_in_quotes(read_list):
    assert read_list('list.csv', '"a, b.mp4",1\n') == [('a, b.mp4', 1)]


def test_videos_may_lie_in_a_folder_of_their_own(read_list):
    assert read_list('list.txt', 'a.mp4 1\n', video_dir='videos') == [('videos/a.mp4', 1)]


@pytest.mark.parametrize(('indices', 'names'), [(2, ['a.mp4', 'b.mp4']), ([2, 0], ['c.mp4', 'a.mp4'])])
def test_a_part_of_a_list_may_be_taken(indices, names, read_list):
    assert [path for path, _ in read_list('list.txt', 'a.mp4 0\nb.mp4 1\nc.mp4 2\n', indices=indices)] == names


def test_class_names_may_stand_in_a_file(tmp_path):
    (tmp_path / 'classes.txt').write_text('\n'.join(CLASSES) + '\n')
    (tmp_path / 'list.csv').write_text('a.mp4,playing guitar\n')
    dataset = VideoListDataset('list.csv', [], num_classes=3, data_root=str(tmp_path), classes='classes.txt')
    assert dataset.metainfo['classes'] == CLASSES
    assert dataset.get_data_info(0)['label'] == 2


def test_without_class_names_classes_are_called_by_their_numbers(tmp_path):
    (tmp_path / 'list.txt').write_text('a.mp4 1\n')
    assert VideoListDataset(str(tmp_path / 'list.txt'), [], num_classes=3).metainfo['classes'] == ['0', '1', '2']


@pytest.mark.parametrize(
    ('name', 'text', 'words'),
    [
        ('list.txt', '', 'lists no videos; expected a line "path label" for each'),
        ('list.csv', 'path,label\n', 'lists no videos; expected a line "path label" for each'),
        ('list.txt', 'a.mp4 0\nb.mp4 3\n', r'list.txt, line 2: the label 3 is not in \[0, 3\); set data.num_classes'),
        ('list.txt', 'a.mp4 -1\n', r'list.txt, line 1: the label -1 is not in \[0, 3\); set data.num_classes'),
        ('list.txt', 'a.mp4 0\n\n\nb.mp4 7\n', r'list.txt, line 4: the label 7 is not in \[0, 3\)'),
        ('list.csv', 'path,label\na.mp4,0\nb.mp4,7\n', r'list.csv, line 3: the label 7 is not in \[0, 3\)'),
        (
            'list.txt',
            'a.mp4 0\nb.mp4 bird\n',
            "list.txt, line 2: the label 'bird' is neither a number nor one of the class",
        ),
        ('list.csv', 'a.mp4,bird\nb.mp4,0\n', "list.csv, line 1: the label 'bird' is neither a number nor one"),
        ('list.txt', 'a.mp4 0\nb.mp4\n', "list.txt, line 2: 'b.mp4' has 0 labels, expected one"),
        ('list.csv', 'a.mp4,0\nb.mp4\n', "list.csv, line 2: 'b.mp4' has 0 labels, expected one"),
        ('list.csv', 'a.mp4,0,2\n', "list.csv, line 1: 'a.mp4' has 2 labels, expected one; .* set multi_class=True"),
    ],
)
def test_a_line_that_cannot_be_meant_is_named(name, text, words, read_list):
    with pytest.raises(ValueError, match=words):
        read_list(name, text)


def test_a_list_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f'the annotation file {tmp_path}/list.txt does not exist'):
        VideoListDataset('list.txt', [], num_classes=3, data_root=str(tmp_path))


def test_a_file_of_class_names_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f'the file of class names {tmp_path}/classes.txt does not exist'):
        VideoListDataset('list.txt', [], num_classes=3, data_root=str(tmp_path), classes='classes.txt')


def test_as_many_class_names_as_classes_are_expected():
    with pytest.raises(ValueError, match='there are 3 class names but num_classes is 2; set data.num_classes'):
        VideoListDataset('list.txt', [], num_classes=2, classes=CLASSES)


def test_files_and_folders_of_frames_become_clips_with_their_labels(tmp_path):
    write_greys(tmp_path / 'a file.mp4', 12)
    (tmp_path / 'frames').mkdir()
    for number, frame in enumerate(grey_frames(30)):
        cv2.imwrite(str(tmp_path / 'frames' / f'{number}.png'), frame)
    (tmp_path / 'list.txt').write_text('a file.mp4 2\nframes 0\n')
    dataset = VideoListDataset('list.txt', clip_pipeline(), num_classes=3, data_root=str(tmp_path), test_mode=True)
    for sample, middle, label in zip(dataset, ([5, 6], [14, 15]), (2, 0)):
        assert (sample['inputs'].shape, sample['inputs'].dtype) == ((1, 3, 2, 32, 32), torch.uint8)
        assert numbers_of(sample['inputs'][0].permute(1, 2, 3, 0)) == middle
        assert sample['data_samples'].gt_labels.item.tolist() == [label]
        assert sample['data_samples'].broken == []


def test_a_broken_video_of_training_is_replaced_and_named(broken_and_whole, tmp_path):
    sample = broken_and_whole()[SeededIndex(0, (0, 0, 0))]['data_samples']
    broken = str(tmp_path / 'broken.mp4')
    assert (sample.filename, sample.gt_labels.item.tolist()) == (str(tmp_path / 'whole.mp4'), [1])
    assert set(sample.broken) == {(broken, f'{broken}: PyAV finds no video that it can decode')}


def test_a_broken_video_of_testing_is_an_error(broken_and_whole, tmp_path):
    with pytest.raises(BrokenVideoError, match=f'{tmp_path}/broken.mp4: PyAV finds no video'):
        broken_and_whole(test_mode=True)[0]


def test_with_skip_broken_a_black_clip_takes_the_place_of_a_broken_video(broken_and_whole, tmp_path):
    dataset = broken_and_whole(test_mode=True, skip_broken=True)
    black, whole = dataset[0], dataset[1]
    assert torch.equal(black['inputs'], torch.zeros(1, 3, 2, 32, 32, dtype=torch.uint8))
    assert (black['data_samples'].filename, black['data_samples'].gt_labels.item) == (str(tmp_path / 'broken.mp4'), 0)
    assert [path for path, _ in black['data_samples'].broken] == [str(tmp_path / 'broken.mp4')]
    assert numbers_of(whole['inputs'][0].permute(1, 2, 3, 0)) == [1, 2]
    assert whole['data_samples'].broken == []


def test_a_data_set_of_broken_videos_stops_with_the_likely_reason(tmp_path):
    (tmp_path / 'list.txt').write_text('missing.mp4 0\n')
    dataset = VideoListDataset('list.txt', clip_pipeline(), num_classes=1, data_root=str(tmp_path))
    words = (
        f'20 videos in a row could not be read, the last one {tmp_path}/missing.mp4: the file does not exist; '
        'check that data.root points at the videos'
    )
    with pytest.raises(RuntimeError, match=words):
        dataset[0]


@pytest.fixture
def in_folders(tmp_path: Path, monkeypatch) -> Path:
    """Root of ``train/CLASS/NUMBER.mp4`` and ``val/CLASS/NUMBER.mp4``, of a list of them, and of one more video."""
    monkeypatch.setattr(video_list, 'PATIENCE', 20)
    monkeypatch.setattr(video_list, 'LOOK', 0.05)
    root = tmp_path / 'root'
    names = [f'{split}/{name}/{number}.mp4' for split in ('train', 'val') for name in 'ab' for number in range(2)]
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_greys(root / name, 4 + number, 32, 32)
    write_greys(root / 'more.mp4', 3, 32, 32)
    (root / 'list.txt').write_text(''.join(f'{name} 0\n' for name in names[:4]))
    return root


def data_sets(root: Path, source: str, **more) -> VideoListDataset:
    if source == 'folder':
        return VideoFolderDataset(clip_pipeline(), 'train', 2, str(root), **more)
    return VideoListDataset('list.txt', clip_pipeline(), 2, data_root=str(root), **more)


@pytest.mark.parametrize('mount_point_stays', [False, True])
@pytest.mark.parametrize('gone', ['train', 'train/a', '.'])
@pytest.mark.parametrize('source', ['list', 'folder'])
def test_a_folder_of_videos_that_vanishes_is_waited_for(
    source, gone, mount_point_stays, in_folders, tmp_path, monkeypatch, caplog
):
    dataset, expected = data_sets(in_folders, source), data_sets(in_folders, source)[SeededIndex(0, (0, 0, 0))]
    folder, away = (in_folders / gone).resolve(), tmp_path / 'away'
    folder.rename(away)
    if mount_point_stays:  # which then lies on another device, as far as this machine can have one
        folder.mkdir()
        dataset.were_there = dict.fromkeys(dataset.were_there, -1)

    def come_back() -> None:
        if mount_point_stays:
            folder.rmdir()
        away.rename(folder)

    threading.Timer(0.2, come_back).start()
    got = dataset[SeededIndex(0, (0, 0, 0))]
    assert got['data_samples'].broken == []
    assert got['data_samples'].filename == expected['data_samples'].filename
    assert got['inputs'].equal(expected['inputs'])


@pytest.mark.parametrize('source', ['list', 'folder'])
def test_a_folder_that_vanishes_while_a_video_is_read_is_waited_for(source, in_folders, tmp_path):
    dataset, expected = data_sets(in_folders, source), data_sets(in_folders, source)[SeededIndex(0, (0, 0, 0))]

    def leave_once(results: dict) -> dict:
        if not (tmp_path / 'left').exists():
            (tmp_path / 'left').touch()
            (in_folders / 'train').rename(tmp_path / 'away')
            threading.Timer(0.5, (tmp_path / 'away').rename, [in_folders / 'train']).start()
        return results

    dataset.pipeline.transforms.insert(2, leave_once)  # after the clip was chosen
    got = dataset[SeededIndex(0, (0, 0, 0))]
    assert got['data_samples'].broken == []
    assert got['inputs'].equal(expected['inputs'])


@pytest.mark.parametrize('source', ['list', 'folder'])
def test_a_folder_of_videos_that_stays_away_is_one_error(source, in_folders, monkeypatch):
    monkeypatch.setattr(video_list, 'PATIENCE', 1)
    dataset = data_sets(in_folders, source)
    shutil.rmtree(in_folders / 'train')
    with pytest.raises(RuntimeError, match=f'{in_folders}/train is gone and did not come back within 1 s'):
        dataset[SeededIndex(0, (0, 0, 0))]


@pytest.mark.parametrize('count', [1, 2])
@pytest.mark.parametrize('source', ['list', 'folder'])
def test_videos_that_are_deleted_are_broken_and_not_waited_for(source, count, in_folders):
    dataset = data_sets(in_folders, source)
    for number in range(count):  # with the second, the folder of the class is empty
        (in_folders / f'train/a/{number}.mp4').unlink()
    start = time.monotonic()
    sample = dataset[SeededIndex(0, (0, 0, 0))]['data_samples']
    assert time.monotonic() - start < 1
    assert sample.broken[0] == (f'{in_folders}/train/a/0.mp4', f'{in_folders}/train/a/0.mp4: the file does not exist')


def test_a_folder_that_was_never_there_is_not_waited_for(in_folders):
    (in_folders / 'list.txt').write_text('none/x.mp4 0\nmore.mp4 0\n')
    start = time.monotonic()
    assert data_sets(in_folders, 'list')[SeededIndex(0, (0, 0, 0))]['data_samples'].filename == f'{in_folders}/more.mp4'
    assert time.monotonic() - start < 1


def test_a_playlist_in_a_list_is_a_broken_video(in_folders):
    (in_folders / 'x.mp4').write_text(f"ffconcat version 1.0\nfile '{in_folders}/more.mp4'\n")
    (in_folders / 'list.txt').write_text('x.mp4 0\n')
    with pytest.raises(BrokenVideoError, match='it is no video but text, as playlists and scripts are'):
        data_sets(in_folders, 'list', test_mode=True)[0]
