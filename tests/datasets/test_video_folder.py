"""Folders of class folders, with splits in them or split by a seed."""

from collections import Counter
from pathlib import Path

import cv2
import pytest
import torch
from videos import clip_pipeline, grey_frames, numbers_of, write_greys

from mmtsf.datasets import VideoFolderDataset

SPLITS = ('train', 'val', 'test')


def touch(root: Path, *paths: str) -> None:
    """Make empty files, and the folders that they lie in."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def videos_of(root: Path, split: str, num_classes: int = 2, **arguments) -> list[tuple[str, int]]:
    """Path relative to the folder, and label, of every video of a split."""
    dataset = VideoFolderDataset([], split, num_classes, str(root), **arguments)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return [(str(Path(info['filename']).relative_to(root)), info['label']) for info in infos]


@pytest.fixture
def two_classes(tmp_path: Path) -> Path:
    """A folder of twenty videos in each of two classes."""
    touch(tmp_path, *(f'{name}/{number:02}.mp4' for name in ('run', 'jump') for number in range(20)))
    return tmp_path


def test_splits_are_disjoint_and_complete(two_classes):
    parts = [videos_of(two_classes, split) for split in SPLITS]
    together = sorted(video for part in parts for video in part)
    assert together == sorted(
        (f'{name}/{number:02}.mp4', label) for label, name in enumerate(('jump', 'run')) for number in range(20)
    )


def test_every_class_gives_its_share_to_every_split(two_classes):
    counts = [Counter(label for _, label in videos_of(two_classes, split)) for split in SPLITS]
    assert counts == [{0: 14, 1: 14}, {0: 2, 1: 2}, {0: 4, 1: 4}]
    halves = [len(videos_of(two_classes, split, split_shares=(0.25, 0.25))) for split in SPLITS]
    assert halves == [20, 10, 10]


def test_the_seed_alone_decides_over_the_split(two_classes):
    first = videos_of(two_classes, 'test')
    assert videos_of(two_classes, 'test') == first
    assert videos_of(two_classes, 'test', split_seed=1) != first
    touch(two_classes, 'sit/0.mp4')  # another class changes nothing in these
    assert [path for path, _ in videos_of(two_classes, 'test', 3)] == [path for path, _ in first]


@pytest.mark.parametrize(('num_videos', 'counts'), [(1, [1, 0, 0]), (2, [2, 0, 0]), (3, [1, 1, 1]), (10, [7, 1, 2])])
def test_three_videos_are_enough_for_three_splits(num_videos, counts, two_classes):
    touch(two_classes, *(f'few/{number}.mp4' for number in range(num_videos)))
    few = [[path for path, label in videos_of(two_classes, split, 3) if label == 0] for split in SPLITS]
    assert [len(paths) for paths in few] == counts


def test_folders_for_splits_are_taken_as_they_are(tmp_path):
    touch(tmp_path, 'train/run/0.mp4', 'train/jump/1.avi', 'val/run/2.webm', 'test/jump/3.MP4')
    assert videos_of(tmp_path, 'train') == [('train/jump/1.avi', 0), ('train/run/0.mp4', 1)]
    assert videos_of(tmp_path, 'val') == [('val/run/2.webm', 1)]
    assert videos_of(tmp_path, 'test') == [('test/jump/3.MP4', 0)]


@pytest.mark.parametrize('there', ['val', 'test'])
def test_one_of_validation_and_testing_serves_for_both(there, tmp_path):
    touch(tmp_path, 'train/run/0.mp4', 'train/jump/1.mp4', f'{there}/run/2.mp4')
    assert videos_of(tmp_path, 'val') == videos_of(tmp_path, 'test') == [(f'{there}/run/2.mp4', 1)]


def test_a_class_may_be_called_train(tmp_path):
    touch(tmp_path, 'bus/0.mp4', 'train/1.mp4', 'train/2.mp4')
    assert sorted(videos_of(tmp_path, 'train')) == [('bus/0.mp4', 0), ('train/1.mp4', 1), ('train/2.mp4', 1)]


def test_what_is_no_video_is_left_alone(tmp_path):
    touch(
        tmp_path,
        'run/0.mp4',
        'run/.hidden.mp4',
        'run/notes.txt',
        'jump/1.mp4',
        'jump/empty/readme.md',
        'scripts/make.py',
        'list.txt',
    )
    assert videos_of(tmp_path, 'train') == [('jump/1.mp4', 0), ('run/0.mp4', 1)]


def test_files_and_folders_of_frames_become_clips_with_their_labels(tmp_path):
    (tmp_path / 'run' / 'frames').mkdir(parents=True)
    (tmp_path / 'a class').mkdir()
    write_greys(tmp_path / 'a class' / 'a clip.mp4', 12)
    for number, frame in enumerate(grey_frames(30)):
        cv2.imwrite(str(tmp_path / 'run' / 'frames' / f'{number}.png'), frame)
    dataset = VideoFolderDataset(clip_pipeline(), 'train', 2, str(tmp_path))
    assert dataset.metainfo['classes'] == ['a class', 'run']
    for sample, middle, label in zip(dataset, ([5, 6], [14, 15]), (0, 1)):
        assert numbers_of(sample['inputs'][0].permute(1, 2, 3, 0)) == middle
        assert torch.equal(sample['data_samples'].gt_labels.item, torch.tensor([label]))


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=f'{tmp_path}/videos is not a folder of class folders; expected {tmp_path}/videos/CLASS/VIDEO',
    ):
        VideoFolderDataset([], 'train', 2, str(tmp_path / 'videos'))


def test_a_folder_without_class_folders_is_named(tmp_path):
    touch(tmp_path, '0.mp4', '1.mp4')
    with pytest.raises(FileNotFoundError, match=f'{tmp_path} is not a folder of class folders'):
        VideoFolderDataset([], 'train', 2, str(tmp_path))


def test_a_split_without_videos_is_named(tmp_path):
    touch(tmp_path, 'run/0.mp4', 'jump/1.mp4')
    with pytest.raises(ValueError, match=f"{tmp_path} holds no videos for the split 'val'; expected a folder for each"):
        VideoFolderDataset([], 'val', 2, str(tmp_path))


def test_as_many_class_folders_as_classes_are_expected(two_classes):
    with pytest.raises(ValueError, match='there are 2 class names but num_classes is 5; set data.num_classes'):
        VideoFolderDataset([], 'train', 5, str(two_classes))


def test_a_split_that_there_is_not_is_refused(two_classes):
    with pytest.raises(ValueError, match=r"split is 'valid', expected one of \('train', 'val', 'test'\)"):
        VideoFolderDataset([], 'valid', 2, str(two_classes))


@pytest.mark.parametrize('suffix', ['.MTS', '.m2ts', '.asf', '.3gp', '.vob', '.h264', '.WebM', '.MOD', '.tod', '.insv'])
def test_a_class_of_any_container_is_one(suffix, tmp_path):
    touch(tmp_path, 'jump/0.mp4', f'run/1{suffix}')
    assert videos_of(tmp_path, 'train') == [('jump/0.mp4', 0), (f'run/1{suffix}', 1)]


@pytest.mark.parametrize('name', ['valid', 'validation', 'validate', 'eval', 'dev', 'Val'])
def test_splits_are_known_by_their_usual_names(name, tmp_path):
    touch(tmp_path, 'train/run/0.mp4', 'train/jump/1.mp4', f'{name}/run/2.mp4', 'testing/run/3.mp4')
    assert videos_of(tmp_path, 'val') == [(f'{name}/run/2.mp4', 1)]
    assert videos_of(tmp_path, 'test') == [('testing/run/3.mp4', 1)]


@pytest.mark.parametrize('video', ['holdout/run/2.mp4', 'bus/3.mp4', 'val2/a/b/4.mp4'])
def test_another_neighbour_of_the_splits_is_refused_by_name(video, tmp_path):
    touch(tmp_path, 'train/run/0.mp4', 'val/run/1.mp4', 'annotations/list.txt', video)
    folder = tmp_path / Path(video).parts[0]
    with pytest.raises(ValueError, match=f'{folder} is none of the splits beside train, but holds {tmp_path}/{video}'):
        videos_of(tmp_path, 'val', 1)


def test_two_folders_of_one_split_are_refused(tmp_path):
    touch(tmp_path, 'train/run/0.mp4', 'val/run/1.mp4', 'valid/run/2.mp4')
    with pytest.raises(ValueError, match='are of the same split; leave one of them'):
        videos_of(tmp_path, 'val', 1)


@pytest.mark.parametrize('video', ['run/person1/1.mp4', 'sit/person1/day2/1.mp4', 'sit/person1/frames/1.jpg'])
def test_a_video_that_lies_deeper_is_named(video, tmp_path):
    touch(tmp_path, 'run/0.mp4', 'jump/0.mp4', video)
    found = tmp_path / (Path(video).parent if video.endswith('.jpg') else video)
    with pytest.raises(ValueError, match=f'{found} lies deeper than {tmp_path}/CLASS/VIDEO, .*; move the videos up'):
        videos_of(tmp_path, 'train')


def test_a_class_without_a_known_video_is_named(tmp_path):
    touch(tmp_path, 'run/0.mp4', 'jump/0.mp4', 'sit/0.xyz')
    with pytest.warns(UserWarning, match='as they hold no video: sit; known are the suffixes'):
        videos_of(tmp_path, 'train')


def test_files_of_a_class_that_are_left_out_are_named(tmp_path):
    touch(tmp_path, 'run/0.mp4', 'jump/0.mp4', 'run/1.xyz', 'run/._0.mp4')
    with pytest.warns(UserWarning, match=f'left out of {tmp_path}, as no suffix of a video: run/1.xyz$'):
        assert videos_of(tmp_path, 'train') == [('jump/0.mp4', 0), ('run/0.mp4', 1)]


def test_companions_of_macos_make_no_folder_of_frames(tmp_path):
    touch(tmp_path, 'run/0.mp4', 'jump/0.mp4', 'run/__MACOSX/._img_1.jpg')
    assert videos_of(tmp_path, 'train') == [('jump/0.mp4', 0), ('run/0.mp4', 1)]


@pytest.mark.parametrize(
    ('others', 'words'),
    [
        (['run/v1/img_1.tif', 'run/v2/img_1.ppm'], 'hold no image .*: 2 folders, run/v1, run/v2'),
        (['run/v1/._img_1.jpg'], 'hold no image .*: 1 folders, run/v1'),
        (['stray.mp4', 'other.MTS'], 'lie in no class folder: 2 videos, other.MTS, stray.mp4'),
        ([f'class {number}/0.xyz' for number in range(8)], 'hold no video: class 0, .*, class 6, class 7;'),
    ],
)
def test_nothing_of_a_folder_vanishes_without_a_word(others, words, tmp_path):
    touch(tmp_path, 'jump/0.mp4', 'run/0.mp4', *others)
    with pytest.warns(UserWarning, match=f'{tmp_path}, as they {words}|no classes in {tmp_path}, as they {words}'):
        assert videos_of(tmp_path, 'train') == [('jump/0.mp4', 0), ('run/0.mp4', 1)]


def test_videos_of_a_split_in_no_class_are_named(tmp_path):
    touch(tmp_path, 'train/jump/0.mp4', 'train/run/0.mp4', 'test/0.mp4', 'a.mp4')
    with pytest.warns(UserWarning, match='in no class folder: 2 videos, a.mp4, test/0.mp4'):
        videos_of(tmp_path, 'train')
    touch(tmp_path, 'train/stray.mp4')
    with pytest.raises(ValueError, match=f'{tmp_path}/train/stray.mp4 lies beside the class folders of'):
        videos_of(tmp_path, 'train')


@pytest.mark.parametrize('inside', ['', 'run/../jam/.hidden.mp4'])
def test_an_empty_class_folder_shifts_no_label(inside, tmp_path):
    touch(tmp_path, 'hop/0.mp4', 'run/0.mp4', *filter(None, [inside]))
    (tmp_path / 'jam').mkdir(exist_ok=True)
    with pytest.raises(ValueError, match=f'{tmp_path}/jam is empty, and the labels depend on which classes there are'):
        videos_of(tmp_path, 'train')
    for name in ('hop', 'run'):
        (tmp_path / 'train').mkdir(exist_ok=True)
        (tmp_path / name).rename(tmp_path / 'train' / name)
    (tmp_path / 'jam').rename(tmp_path / 'train/jam')
    touch(tmp_path, 'val/jam/0.mp4')
    assert videos_of(tmp_path, 'train', 3) == [('train/hop/0.mp4', 0), ('train/run/0.mp4', 2)]


def test_links_in_a_circle_are_no_classes(tmp_path):
    touch(tmp_path, 'jump/0.mp4', 'run/0.mp4')
    (tmp_path / 'loop').symlink_to('loop')
    (tmp_path / 'run/loop').symlink_to('loop')
    with pytest.warns(UserWarning, match='as no suffix of a video: run/loop'):
        assert videos_of(tmp_path, 'train') == [('jump/0.mp4', 0), ('run/0.mp4', 1)]


@pytest.mark.parametrize('name', ['a\x1b[31m', 'a\nb', 'a\u202eb'])
def test_a_class_folder_that_no_checkpoint_could_name_is_refused_before_training(name, tmp_path):
    touch(tmp_path, 'b/0.mp4', f'{name}/0.mp4')
    with pytest.raises(ValueError, match='class 0: the name .* is not taken, expected one line that can be seen'):
        videos_of(tmp_path, 'train')
