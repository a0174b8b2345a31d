"""Attention lies where it was in the video's own frames."""

import numpy as np
import pytest
from mmengine.dataset import Compose
from runs import ROOT, TINY
from videos import grey_frames, write_video

from mmtsf.apis import (
    ClipPacker,
    attention_maps,
    build_pipeline,
    init_recognizer,
    middle_clip,
    write_attention,
)
from mmtsf.datasets.decoders import open_video
from mmtsf.visualization import heat, overlay
from mmtsf.visualization.overlay import UNSEEN


@pytest.mark.parametrize(
    ('size', 'box'),
    [
        ((96, 192), (48, 0, 144, 96)),
        ((192, 96), (0, 48, 96, 144)),
        ((24, 24), (0, 0, 24, 24)),  # enlarged for the model
        ((480, 480), (0, 0, 480, 480)),
    ],
)
def test_the_box_is_what_the_model_sees_of_the_frame(model, size, box):
    assert ClipPacker(build_pipeline(model, 'val')).box(*size) == pytest.approx(box, abs=0.02)


def test_a_box_in_a_crop_that_is_not_in_the_middle_is_found():
    transforms = [
        dict(type='DecodeFrames'),
        dict(type='Resize', scale=(-1, 50)),
        dict(type='CropViews', size=40, num_crops=3),
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackActionInputs'),
    ]
    assert ClipPacker(Compose(transforms)).box(100, 200) == pytest.approx((0, 10, 80, 90), abs=0.02)


def test_what_the_model_did_not_see_is_told_apart():
    picture = heat(np.array([[0.0, 1.0]]), 4, 16, (4, 0, 12, 4))
    assert (picture[:, [0, 3, 12, 15]] == UNSEEN).all()
    assert picture[0, 4].astype(int).sum() < 20 < 600 < picture[0, 11].astype(int).sum()  # from dark to light
    (faded,) = overlay([np.zeros((4, 16, 3), np.uint8)], np.array([[[0.0, 1.0]]]), (4, 0, 12, 4), strength=0.5)
    assert (abs(faded[:, 0].astype(int) - np.array(UNSEEN) // 2) <= 1).all()


def test_attention_is_written_in_the_shape_of_the_video(model, tmp_path):
    video = write_video(tmp_path / 'wide.mp4', grey_frames(40, 96, 192), fps=10)
    clip = middle_clip(model, video)
    maps = {'attention': attention_maps(model, clip.clip)['attention']}
    write_attention(video, clip, maps, tmp_path / 'out.mp4')
    reader = open_video(str(tmp_path / 'out.mp4'))
    frames = reader.read(np.arange(reader.num_frames))
    assert frames.shape == (clip.numbers[-1] - clip.numbers[0] + 1, 320, 1280, 3)  # beside the frames
    seen, faded = frames[:, 50:, 830:1090].astype(int), frames[:, 50:, 1200:].astype(int)
    assert np.ptp(faded, axis=3).max() < 30 < np.ptp(seen, axis=3).min()  # grey, and a colour
    drawn = clip.of_video(video)
    assert drawn.pictures.shape == (8, 96, 192, 3)
    np.testing.assert_allclose(drawn.times, clip.numbers / 10, atol=1e-3)
    assert drawn.box == pytest.approx((48, 0, 144, 96), abs=0.02)


def test_of_several_views_the_middle_one_is_drawn(tiny_checkpoint, tmp_path):
    video = write_video(tmp_path / 'long.mp4', grey_frames(90, 48, 48), fps=10)
    several = init_recognizer(ROOT / TINY, tiny_checkpoint, 'cpu', {'view': '3x1'})
    clip = middle_clip(several, video)
    assert clip.clip.shape == (1, 3, 8, 48, 48)
    sample = build_pipeline(several, 'val')(dict(filename=video, start_index=0, modality='RGB', broken=[], label=-1))
    assert (clip.numbers == sample['data_samples'].frame_inds.reshape(3, 8)[1]).all()
    assert (clip.frames == sample['inputs'][1].permute(1, 2, 3, 0).numpy()).all()
