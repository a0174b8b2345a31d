"""The same frames give the same scores in whatever form they come."""

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import assert_close
from PIL import Image
from runs import ROOT, TINY

from mmtsf.apis import TimeSformerInferencer, extract, inference_recognizer, init_recognizer, timeline, to_sample
from mmtsf.datasets.decoders import BrokenVideoError, open_video


@pytest.fixture
def clip(motion) -> Path:
    return next(motion.glob('test/left/*.mp4'))


@pytest.fixture
def frames(clip) -> np.ndarray:
    reader = open_video(str(clip))
    return reader.read(np.arange(reader.num_frames))


def forms(clip: Path, frames: np.ndarray) -> dict:
    tensor = torch.from_numpy(frames)
    channels_first = tensor.permute(0, 3, 1, 2)
    return {
        'path': clip,
        'text': str(clip),
        'bytes': clip.read_bytes(),
        'bytearray': bytearray(clip.read_bytes()),
        'file': clip.open('rb'),
        'file in memory': io.BytesIO(clip.read_bytes()),
        'reader': open_video(str(clip)),
        'THWC': frames,
        'TCHW': frames.transpose(0, 3, 1, 2),
        'int64': frames.astype(np.int64),
        'float64 to 1': frames / 255,
        'tensor THWC': tensor,
        'tensor TCHW': channels_first,
        'float tensor': channels_first / 255,
        'float16 tensor': (tensor / 255).half(),
        'with gradients': (tensor / 255).requires_grad_(),
        'PIL': [Image.fromarray(frame) for frame in frames],
        'PIL RGBA': tuple(Image.fromarray(frame).convert('RGBA') for frame in frames),
        'list of HWC': list(frames),
        'list of CHW': list(channels_first),
        'a mixture': [Image.fromarray(frames[0]), *frames[1:]],
        'dict': to_sample(frames),
    }


def test_every_form_gives_the_scores_of_the_file(model, clip, frames):
    expected = inference_recognizer(model, clip).pred_scores.item
    for name, video in forms(clip, frames).items():
        scores = inference_recognizer(model, video).pred_scores.item
        assert torch.equal(scores, expected), name


def test_the_inferencer_takes_them_all_at_once_and_names_them(tiny_checkpoint, clip, frames):
    inferencer = TimeSformerInferencer(ROOT / TINY, tiny_checkpoint, 'cpu')
    videos = list(forms(clip, frames).values())
    found = inferencer(videos, batch_size=4)['predictions']
    assert len(found) == len(videos)
    for one in found:
        assert one['scores'] == pytest.approx(found[0]['scores'], abs=1e-6)  # batches sum in another order
    assert {one['video'] for one in found} == {str(clip), 'bytes', 'frames'}
    assert len(inferencer([Image.fromarray(frame) for frame in frames])['predictions']) == 1  # a list of frames


def test_patterns_and_folders_are_several(tiny_checkpoint, motion):
    inferencer = TimeSformerInferencer(ROOT / TINY, tiny_checkpoint, 'cpu')
    expected = sorted(map(str, motion.glob('test/left/*.mp4')))
    assert [p['video'] for p in inferencer(str(motion / 'test/le?t/*.mp4'))['predictions']] == expected
    assert [p['video'] for p in inferencer([motion / 'test/left/*.mp4'])['predictions']] == expected
    with pytest.raises(FileNotFoundError, match=r'none/\*\.mp4 is no file or folder, and as a pattern it matches none'):
        inferencer('none/*.mp4')


def test_timelines_and_features_take_them_too(model, clip, frames):
    scenes = [list(timeline(model, video)) for video in (clip, frames, clip.read_bytes())]
    for others in scenes[1:]:
        np.testing.assert_array_equal([s.scores for s in others], [s.scores for s in scenes[0]])
    features = [extract(model, video, 'video') for video in (clip, torch.from_numpy(frames).permute(0, 3, 1, 2))]
    assert_close(features[1], features[0], atol=0)


ONE = 'expected a path, bytes or a file of a video'


@pytest.mark.parametrize(
    ('video', 'words'),
    [
        (7, f'a video is int, {ONE}'),
        (None, f'a video is NoneType, {ONE}'),
        ([], f'a video is empty list, {ONE}'),
        (['a.mp4', 'b.mp4'], f'a video is list of str, {ONE}'),
        (Image.new('RGB', (32, 32)), f'a video is Image, {ONE}'),
        (io.StringIO('video'), "a video is a file that gives str; open it with 'rb'"),
        (np.zeros((8, 32, 32), np.uint8), rf'a video is uint8 \(8, 32, 32\), {ONE}'),
        (np.zeros((0, 32, 32, 3), np.uint8), r'a video is uint8 \(0, 32, 32, 3\), '),
        (np.zeros((8, 32, 32, 4), np.uint8), r'a video is uint8 \(8, 32, 32, 4\), '),
        (np.zeros((8, 32, 32, 3), bool), r'a video is bool \(8, 32, 32, 3\), '),
        (torch.zeros(3, 8, 32, 32), r'permute \(3, T, H, W\) to \(T, 3, H, W\)'),
        (torch.zeros(3, 3, 32, 32), 'more than one axis may be the colours; give a list of frames'),
        (torch.zeros(8, 3, 32, 3), 'more than one axis may be the colours'),
        (torch.zeros(2, 8, 3, 32, 32), r'a video is float32 \(2, 8, 3, 32, 32\), '),
        (torch.full((8, 32, 32, 3), 2.0), 'with values from 2 to 2, expected floats from 0 to 1, not normalised'),
        (torch.full((8, 32, 32, 3), float('nan')), 'with values from nan to nan, expected floats from 0 to 1'),
        (np.full((8, 32, 32, 3), 300), 'with values from 300 to 300, expected whole numbers from 0 to 255'),
        ([np.zeros((8, 8), np.uint8)], r'a frame is uint8 \(8, 8\), expected \(H, W, 3\)'),
        (
            [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)],
            r'frames of a video are \(8, 8\) and \(8, 9\)',
        ),
    ],
)
def test_what_is_no_video_or_may_be_two_things_is_refused(video, words):
    with pytest.raises((TypeError, ValueError), match=words):
        to_sample(video)


def test_broken_bytes_are_a_broken_video_and_leave_no_file(model, tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    with pytest.raises(BrokenVideoError, match='PyAV finds no video'):
        inference_recognizer(model, b'no video at all')
    with pytest.raises(BrokenVideoError, match='the file is empty'):
        inference_recognizer(model, b'')
    assert os.listdir(tmp_path) == []


def test_a_file_with_the_signs_of_a_pattern_is_itself(tiny_checkpoint, clip, tmp_path):
    shutil.copy(clip, tmp_path / 'a[1].mp4')
    inferencer = TimeSformerInferencer(ROOT / TINY, tiny_checkpoint, 'cpu')
    assert len(inferencer(str(tmp_path / 'a[1].mp4'))['predictions']) == 1


@pytest.mark.parametrize('make', [init_recognizer, TimeSformerInferencer])
def test_a_model_without_weights_says_so_once(make, tiny_checkpoint, recwarn):
    make(TINY, device='cpu')
    assert [str(w.message)[:62] for w in recwarn if 'weights' in str(w.message)] == [
        'no weights are given, so that the model answers at random; nam'
    ]
    recwarn.clear()
    make(TINY, str(tiny_checkpoint), device='cpu')
    assert not [w for w in recwarn if 'no weights' in str(w.message)]
