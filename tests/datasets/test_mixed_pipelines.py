"""MMAction2's transforms before and after ours, in its data sets and in ours."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.dataset import Compose
from videos import grey_frames, numbers_of, write_greys

from mmtsf.datasets.transforms import flat_collate
from mmtsf.registry import DATASETS

OURS = [dict(type='Resize', scale=(-1, 32)), dict(type='CropViews', size=32)]
THEIRS = [dict(type='Resize', scale=(-1, 32)), dict(type='CenterCrop', crop_size=32)]
PACK = [dict(type='FormatShape', input_format='NCTHW'), dict(type='PackActionInputs')]
SAMPLE_CLIPS = dict(type='SampleClips', num_frames=4, frame_interval=3, start='middle')
SAMPLE_FRAMES = dict(type='SampleFrames', clip_len=4, frame_interval=3, num_clips=1, test_mode=True)
#: Of 30 frames, 10 are spanned: 20 are left, half of them before
MIDDLE = [10, 13, 16, 19]
READ = dict(
    ours=(dict(type='OpenVideo'), dict(type='DecodeFrames')),
    decord=(dict(type='DecordInit'), dict(type='DecordDecode')),
    pyav=(dict(type='PyAVInit'), dict(type='PyAVDecode')),
    opencv=(dict(type='OpenCVInit'), dict(type='OpenCVDecode')),
)
sampling = pytest.mark.parametrize('sample', [SAMPLE_CLIPS, SAMPLE_FRAMES], ids=lambda transform: transform['type'])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folder with a video of 30 greys of class 1, a list of it, its frames numbered from 1, and a list of these."""
    write_greys(tmp_path / 'a.mp4', 30)
    (tmp_path / 'list.txt').write_text('a.mp4 1\n')
    (tmp_path / 'frames').mkdir()
    for number, frame in enumerate(grey_frames(30), 1):
        cv2.imwrite(str(tmp_path / f'frames/img_{number:05}.png'), frame)
    (tmp_path / 'rawframes.txt').write_text('frames 30 1\n')
    return tmp_path


def video_list(root: Path, pipeline: list) -> dict:
    return dict(type='VideoListDataset', ann_file='list.txt', pipeline=pipeline, num_classes=2, data_root=str(root))


def video_dataset(root: Path, pipeline: list) -> dict:
    place = dict(data_prefix=dict(video=str(root)), ann_file=str(root / 'list.txt'))
    return dict(type='VideoDataset', pipeline=pipeline, **place)


def shown(sample: dict) -> list[int]:
    """Which frames a sample of one view shows."""
    assert sample['inputs'].shape == (1, 3, 4, 32, 32)
    assert sample['data_samples'].gt_labels.item.tolist() == [1]
    return numbers_of(sample['inputs'][0].permute(1, 2, 3, 0))


@sampling
@pytest.mark.parametrize('crop', [OURS, THEIRS], ids=['ours', 'theirs'])
@pytest.mark.parametrize('read', READ)
@pytest.mark.parametrize('dataset', [video_list, video_dataset])
def test_any_reader_goes_with_any_sampling_crop_and_data_set(dataset, read, sample, crop, root):
    opener, decoder = READ[read]
    config = dataset(root, [opener, sample, decoder, *crop, *PACK])
    assert shown(DATASETS.build(dict(config, test_mode=True))[0]) == MIDDLE


@sampling
@pytest.mark.parametrize('read', [[dict(type='RawFrameDecode')], [dict(type='OpenVideo'), dict(type='DecodeFrames')]])
def test_frames_in_a_folder_count_from_where_their_data_set_says(read, sample, root):
    config = dict(type='RawframeDataset', ann_file='rawframes.txt', data_root=str(root), data_prefix=dict(img=''))
    pipeline = [*read[:-1], sample, read[-1], *OURS, *PACK]
    dataset = DATASETS.build(dict(config, filename_tmpl='img_{:05}.png', pipeline=pipeline, test_mode=True))
    assert dataset.start_index == 1
    assert shown(dataset[0]) == MIDDLE


def test_without_a_rate_a_video_is_taken_at_the_rate_that_is_asked_for(root):
    sample = dict(SAMPLE_CLIPS, target_fps=15)
    for read, frames in (('ours', [5, 11, 17, 23]), ('decord', [5, 11, 17, 23]), ('pyav', MIDDLE)):  # at 30 a second
        opener, decoder = READ[read]
        assert shown(DATASETS.build(video_list(root, [opener, sample, decoder, *OURS, *PACK]))[0]) == frames


@pytest.mark.parametrize(
    ('opener', 'decoder'),
    [('OpenVideo', 'DecordDecode'), ('DecordInit', 'DecodeFrames'), ('PyAVInit', 'OpenCVDecode')],
)
def test_a_decoder_behind_the_opener_of_another_one_is_refused_before_a_video_is_read(opener, decoder, root):
    pipeline = [dict(type=opener), SAMPLE_CLIPS, dict(type=decoder)]
    with pytest.raises(ValueError, match=f'{decoder} reads what .* opens, but the pipeline has {opener} before it'):
        DATASETS.build(video_list(root, pipeline))


def test_our_decoder_in_their_data_set_names_the_key_that_is_missing_and_what_gives_it(root):
    pipeline = [dict(type='DecordInit'), SAMPLE_CLIPS, dict(type='DecodeFrames')]
    with pytest.raises(ValueError, match="DecodeFrames needs the key 'reader', which OpenVideo gives"):
        DATASETS.build(video_dataset(root, pipeline))[0]


def test_frames_in_memory_are_taken_from_mmactions_key(root):
    frames = np.stack(grey_frames(30))
    pipeline = Compose([dict(type='OpenVideo'), SAMPLE_CLIPS, dict(type='DecodeFrames'), *OURS, *PACK])
    assert shown(pipeline(dict(array=frames, label=1, modality='RGB'))) == MIDDLE


def test_repeated_augmentation_goes_with_mmactions_reader_and_data_set(root):
    opener, decoder = READ['decord']
    sample = dict(SAMPLE_CLIPS, start='random', num_clips=3)
    pipeline = [opener, sample, decoder, dict(type='ForEachClip', transforms=[*OURS, *PACK])]
    batch = flat_collate([DATASETS.build(video_dataset(root, pipeline))[0]])
    assert [tuple(clip.shape) for clip in batch['inputs']] == [(1, 3, 4, 32, 32)] * 3
