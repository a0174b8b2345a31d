"""A folder of images is one series in the order of its numbers, or one error that names two."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmtsf.datasets.decoders import BrokenVideoError, open_video


def write(folder: Path, *names: str) -> None:
    """Write images, each of a gray that tells its place among the names."""
    for place, name in enumerate(names):
        Image.new('RGB', (8, 8), (10 * place,) * 3).save(folder / name, 'PNG')


def order_of(folder: Path) -> list[int]:
    """Places of the frames among the written names."""
    reader = open_video(str(folder))
    return [int(frame.mean()) // 10 for frame in reader.read(np.arange(reader.num_frames))]


@pytest.mark.parametrize(
    'names',
    [
        ['img_1.jpg', 'img_2.jpg', 'img_10.jpg'],
        ['frame-9.png', 'frame-10.png', 'frame-11.png'],  # a hyphen is no sign
        ['0.0.jpg', '0.033.jpg', '0.067.jpg', '0.1.jpg', '0.133.jpg'],
        ['1305031102.175304.png', '1305031102.211214.png', '1305031102.3.png'],
        ['t9.5.jpg', 't10.25.jpg', 't10.3.jpg'],
        ['shot1.9.jpg', 'shot1.10.jpg', 'shot1.11.jpg'],  # a time would be 1.1
        ['frame.0001.png', 'frame.0002.png', 'frame.0010.png'],
        ['s1_f1.jpg', 's1_f2.jpg', 's2_f1.jpg', 's10_f1.jpg'],
        ['12345678901234567890.jpg', '12345678901234567891.jpg'],
        ['img_08.jpg', 'img_9.PNG', 'img_10.webp'],
        ['a.jpg', 'b.jpg', 'c.jpg'],
    ],
    ids=lambda names: names[0],
)
def test_frames_are_in_the_order_of_the_values_in_their_names(names, tmp_path):
    write(tmp_path, *names)
    assert order_of(tmp_path) == list(range(len(names)))


@pytest.mark.parametrize(
    'others',
    [
        [
            'flow_x_1.jpg',
            'flow_y_1.jpg',
            'flow_x_2.jpg',
            'flow_y_2.jpg',
            'flow_x_3.jpg',
            'flow_y_3.jpg',
            'flow_x_4.jpg',
        ],
        ['x_1.jpg', 'x_2.jpg', 'x_3.jpg', 'y_1.jpg', 'y_2.jpg', 'y_3.jpg'],
        ['thumb_1.jpg', 'thumb_2.jpg'],
        ['._img_1.jpg', '._img_2.jpg', '._img_3.jpg', '._img_4.jpg'],
        ['.hidden.png', 'cover.jpg'],
        ['Thumbs.db', '.DS_Store', 'desktop.ini', 'jpg', 'img_4.jpg.txt'],
    ],
    ids=lambda names: names[0],
)
def test_what_lies_beside_the_frames_is_none(others, tmp_path):
    names = ['img_1.jpg', 'img_2.jpg', 'img_3.jpg']
    write(tmp_path, *names, *others)
    assert order_of(tmp_path) == [0, 1, 2]


@pytest.mark.parametrize(
    ('names', 'words'),
    [
        (
            ['left_1.jpg', 'left_2.jpg', 'right_1.jpg', 'right_2.jpg'],
            r'left_\*.jpg and right_\*.jpg are as many images',
        ),
        (['flow_x_1.jpg', 'flow_y_1.jpg'], r'flow_x_\*.jpg and flow_y_\*.jpg are as many images each'),
        (['img_1.jpg', 'cover.jpg'], r'cover.jpg and img_\*.jpg are as many images each'),
        (['1.jpg', '1.png', '2.jpg', '2.png'], '1.jpg and 1.png have the same number; put each into a folder'),
        (['img_01.jpg', 'img_1.jpg'], 'img_01.jpg and img_1.jpg have the same number'),
    ],
)
def test_two_series_of_which_none_is_the_larger_are_named(names, words, tmp_path):
    write(tmp_path, *reversed(names))
    with pytest.raises(BrokenVideoError, match=words) as error:
        open_video(str(tmp_path))
    assert str(error.value).startswith(f'{tmp_path}: ')


@pytest.mark.parametrize(
    'names', [['flower_{}.jpg', 'cover_1.jpg'], ['x_{}.jpg', 'thumb.jpg'], ['flow_{}.jpg', 'a.jpg']]
)
def test_a_series_is_not_left_out_for_a_single_image(names, tmp_path):
    write(tmp_path, *(names[0].format(number) for number in range(1, 4)), names[1])
    with pytest.warns(UserWarning, match=f'the frames are {names[0].replace("{}", ".")}; left out are '):
        assert order_of(tmp_path) == [0, 1, 2]


def test_case_parts_no_series(tmp_path):
    write(tmp_path, 'IMG_1.jpg', 'img_2.jpg', 'IMG_3.JPG')
    assert order_of(tmp_path) == [0, 1, 2]


def test_what_is_left_out_is_named_once(tmp_path):
    for name in ('v1', 'v2'):
        (tmp_path / name).mkdir()
        write(tmp_path / name, 'rgb_1.jpg', 'rgb_2.jpg', 'depth_1.png')
    with pytest.warns(
        UserWarning, match='the frames are rgb_.*.jpg; left out are depth_.*.png, here and elsewhere'
    ) as seen:
        assert [order_of(tmp_path / name) for name in ('v1', 'v2')] == [[0, 1], [0, 1]]
    assert len(seen) == 1


def test_a_folder_of_companions_alone_holds_no_images(tmp_path):
    write(tmp_path, '._img_1.jpg')
    with pytest.raises(BrokenVideoError, match='the folder holds no images'):
        open_video(str(tmp_path))


def test_a_folder_tells_no_times(tmp_path):
    write(tmp_path, '0.5.jpg')
    reader = open_video(str(tmp_path))
    assert reader.times is None
    assert reader.fps is None


def test_no_image_is_asked_for_when_a_folder_is_opened(tmp_path, monkeypatch):
    write(tmp_path, *(f'img_{number}.jpg' for number in range(20)))
    asked = []
    for name in ('stat', 'lstat'):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda path, *a, real=real, **k: (asked.append(str(path)), real(path, *a, **k))[1]
        )
    assert open_video(str(tmp_path)).num_frames == 20
    assert not [path for path in asked if path.endswith('.jpg')]
