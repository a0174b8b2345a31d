"""Crops by their coordinates, and opening and decoding in a pipeline."""

import re

import numpy as np
import pytest
from videos import grey_frames, numbers_of, write_greys

from mmtsf.datasets.decoders import DECODERS, ArrayReader
from mmtsf.datasets.transforms import CropViews, DecodeFrames, OpenVideo, SampleClips


def coordinates(height: int, width: int) -> np.ndarray:
    """A frame ``(H, W, 3)`` whose pixels are (y, x, 0)."""
    return np.stack([*np.mgrid[:height, :width], np.zeros((height, width), int)], axis=-1).astype(np.uint8)


def crop(height: int, width: int, **arguments) -> dict:
    """What becomes of a clip of two frames of coordinates, the second of them marked."""
    frames = [coordinates(height, width), coordinates(height, width) + np.uint8([0, 0, 1])]
    return CropViews(**arguments).transform(dict(imgs=frames, img_shape=(height, width)))


@pytest.mark.parametrize(
    ('height', 'width', 'num_crops', 'corners'),
    [
        (40, 100, 1, [(4, 34)]),
        (100, 40, 1, [(34, 4)]),
        (40, 100, 3, [(4, 0), (4, 34), (4, 68)]),
        (100, 40, 3, [(0, 4), (34, 4), (68, 4)]),
        (32, 33, 3, [(0, 0), (0, 0), (0, 1)]),
        (32, 32, 3, [(0, 0)] * 3),
        (32, 132, 5, [(0, 0), (0, 25), (0, 50), (0, 75), (0, 100)]),
    ],
)
def test_crops_lie_at_equal_distances_along_the_longer_side(height, width, num_crops, corners):
    results = crop(height, width, size=32, num_crops=num_crops)
    whole = coordinates(height, width)
    expected = [whole[y : y + 32, x : x + 32] + np.uint8([0, 0, frame]) for y, x in corners for frame in (0, 1)]
    assert results['img_shape'] == (32, 32)
    assert np.array_equal(results['imgs'], expected)


@pytest.mark.parametrize(('height', 'width'), [(31, 100), (100, 31)])
def test_frames_smaller_than_the_crop_are_refused(height, width):
    with pytest.raises(
        ValueError, match=f'crops of 32 pixels from frames of {height} x {width} .*resize the short side'
    ):
        crop(height, width, size=32)


def test_no_crops_at_all_are_refused():
    with pytest.raises(ValueError, match='num_crops is 0, expected at least 1'):
        CropViews(size=32, num_crops=0)


def test_a_video_is_opened_and_decoded(tmp_path):
    results = OpenVideo().transform(dict(filename=write_greys(tmp_path / 'video.mp4', 20, fps=25)))
    assert (results['total_frames'], results['avg_fps'], results['start_index']) == (20, 25, 0)
    results = DecodeFrames().transform(results | dict(frame_inds=np.array([7, 7, 3])))
    assert numbers_of(results['imgs']) == [7, 7, 3]
    assert results['img_shape'] == results['original_shape'] == (64, 128)
    assert 'reader' not in results


def test_a_reader_that_is_open_already_is_used_as_it_is():
    reader = ArrayReader(np.stack(grey_frames(5)))
    results = OpenVideo().transform(dict(filename='missing.mp4', reader=reader))
    assert results['reader'] is reader
    assert (results['total_frames'], results['avg_fps']) == (5, None)


@pytest.mark.parametrize('decoder', ['opencv', ''])
def test_a_decoder_that_there_is_not_is_refused(decoder):
    words = f'decoder is {decoder!r}, expected one of {tuple(DECODERS)}'
    with pytest.raises(ValueError, match=f'^{re.escape(words)}$'):
        OpenVideo(decoder)


@pytest.mark.parametrize('transform', [CropViews, OpenVideo, SampleClips])
def test_a_keyword_that_there_is_not_is_named(transform):
    with pytest.raises(TypeError, match='sise'):
        transform(sise=32)
