"""Frames, sizes, crops and scores of the released code's protocol, by its rules written down anew and by numbers that
its own loader gave (facebookresearch/TimeSformer at a5ef29a)."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from videos import write_greys

import mmtsf.datasets.transforms  # noqa: F401  # registers
from mmtsf.config import load_config
from mmtsf.datasets.decoders import ArrayReader, open_video
from mmtsf.datasets.decoders.frame_index import Clock
from mmtsf.datasets.transforms import ReleasedCropViews, ReleasedResize, ReleasedSampleClips, ReleasedSampleSegments
from mmtsf.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'


class Reader(NamedTuple):
    clock: Clock | None


def even_clock(num_frames: int, units: int) -> Clock:
    return Clock(np.arange(num_frames) * units, num_frames * units, num_frames)


def sample(
    total: int, fps: float | None, clips: int = 1, clock: Clock | None = None, geometry=(8, 32)
) -> list[list[int]]:
    video = dict(total_frames=total, avg_fps=fps, reader=Reader(clock))
    return ReleasedSampleClips(*geometry, 'first', clips).transform(video)['frame_inds'].reshape(clips, -1).tolist()


def counted(total: int, fps: float, clip: int, clips: int) -> list[int]:
    """The rule for a file that does not tell its duration: frames are counted from the first one of the video."""
    span = 32 * 8 / 30 * fps
    start = max(total - span, 0) * clip / clips
    return [min(int(place), total - 1) for place in torch.linspace(start, start + span - 1, 8).tolist()]


def timed(clock: Clock, fps: float, clip: int, clips: int, geometry: tuple[int, int] = (8, 32)) -> list[int]:
    """The rule for a file that does: a window in units of the container, one more frame, and counting in the window."""
    frames, interval = geometry
    span = interval * frames / 30 * fps
    start = max(clock.num_frames - span, 0) * clip / clips
    begin, end = (int(place * (clock.duration / clock.num_frames)) for place in (start, start + span - 1))
    window = [frame for frame, time in enumerate(clock.times) if begin <= time <= end]
    later = [frame for frame, time in enumerate(clock.times) if time > end and time >= begin]
    window += later[:1]
    return [window[min(int(place), len(window) - 1)] for place in torch.linspace(0, span - 1, frames).tolist()]


@pytest.mark.parametrize(
    ('fps', 'frames'),
    [
        (30, [0, 36, 72, 109, 145, 182, 218, 255]),
        (25, [0, 30, 60, 91, 121, 151, 182, 212]),
        (60, [0, 73, 146, 219, 292, 365, 438, 511]),
        (None, [0, 36, 72, 109, 145, 182, 218, 255]),
    ],
)
@pytest.mark.parametrize('clock', [None, even_clock(1000, 512)])
def test_one_clip_is_spread_over_the_span_at_30_frames_a_second(fps, frames, clock):
    assert sample(1000, fps, clock=clock) == [frames]


@pytest.mark.parametrize('fps', [30, 25, 50, 60, 24, 29.97, 12, 15, 23.976])
@pytest.mark.parametrize('total', [1000, 300, 100, 3, 1])
@pytest.mark.parametrize('clips', [1, 10])
def test_frames_of_a_file_without_duration_are_counted(total, fps, clips):
    assert sample(total, fps, clips) == [counted(total, fps, clip, clips) for clip in range(clips)]


@pytest.mark.parametrize('units', [1, 3, 512, 1001])
@pytest.mark.parametrize('fps', [30, 25, 50, 24, 30000 / 1001, 12])
@pytest.mark.parametrize('total', [1000, 300, 251, 100, 1])
def test_clips_of_a_file_with_duration_begin_with_the_first_frame_in_their_time(total, fps, units):
    clock = even_clock(total, units)
    assert sample(total, fps, 10, clock) == [timed(clock, fps, clip, 10) for clip in range(10)]


@pytest.mark.parametrize('geometry', [(8, 32), (16, 16), (96, 4), (1, 1)])
def test_frames_that_are_not_shown_evenly_are_counted_within_the_time_of_a_clip(geometry):
    times = np.sort(np.random.default_rng(0).choice(400_000, 300, replace=False))
    clock = Clock(times, 400_000, 310)  # ten are promised that cannot be shown
    assert sample(300, 25, 10, clock, geometry) == [timed(clock, 25, clip, 10, geometry) for clip in range(10)]


#: Rate, frames, units a frame, and what the released loader took of such a file: first frames of ten clips, second clip
RECORDED = [
    (25, 250, 512, [0, 4, 8, 11, 15, 19, 22, 26, 30, 33], [4, 34, 64, 95, 125, 155, 186, 216]),
    (30000 / 1001, 327, 1001, [0, 8, 15, 22, 29, 36, 43, 50, 58, 65], [8, 44, 80, 117, 153, 189, 226, 262]),
    (30000 / 1001, 251, 1, [0] * 10, [0, 36, 72, 109, 145, 181, 218, 250]),  # an AVI file
]


@pytest.mark.parametrize(('fps', 'total', 'units', 'firsts', 'second'), RECORDED)
def test_ten_clips_are_those_that_the_released_loader_took(fps, total, units, firsts, second):
    clips = sample(total, fps, 10, even_clock(total, units))
    assert ([clip[0] for clip in clips], clips[1]) == (firsts, second)


@pytest.mark.parametrize(
    ('decoder', 'suffix', 'units'), [('pyav', '.mp4', 512), ('pyav', '.avi', 1), ('decord', '.mp4', 512)]
)
def test_clips_of_a_file_begin_by_its_own_clock(decoder, suffix, units, tmp_path):
    if decoder == 'decord':
        pytest.importorskip('decord')
    reader = open_video(write_greys(tmp_path / f'greys{suffix}', 250, fps=25, gop_size=25, max_b_frames=0), decoder)
    video = dict(total_frames=reader.num_frames, avg_fps=reader.fps, reader=reader)
    clips = ReleasedSampleClips(8, 32, 'first', 10).transform(video)['frame_inds'].reshape(10, 8).tolist()
    assert clips == [timed(even_clock(250, units), 25, clip, 10) for clip in range(10)]


def test_frames_of_an_avi_with_b_frames_are_shown_evenly_where_ffmpeg_guesses(tmp_path):
    """It keeps no times of presentation."""
    path = write_greys(tmp_path / 'greys.avi', 250, fps=25, gop_size=25, max_b_frames=2)
    with av.open(path) as container:
        guesses = [frame.pts for frame in container.decode(video=0)]
    assert guesses != sorted(guesses)
    reader = open_video(path)
    video = dict(total_frames=reader.num_frames, avg_fps=reader.fps, reader=reader)
    clips = ReleasedSampleClips(8, 32, 'first', 10).transform(video)['frame_inds'].reshape(10, 8).tolist()
    assert clips == [timed(even_clock(250, 1), 25, clip, 10) for clip in range(10)]


def test_random_clips_begin_anywhere():
    np.random.seed(0)
    video = dict(total_frames=300, avg_fps=30, reader=Reader(even_clock(300, 512)))
    clips = ReleasedSampleClips(8, 32, 'random', 2000).transform(video)['frame_inds'].reshape(2000, 8)
    assert set(clips[:, 0]) == set(range(1, 45))  # 44 frames are left, and none begins before it is shown
    assert (clips - clips[:, :1] == sample(300, 30)[0]).all()


@pytest.mark.parametrize(('total', 'frames'), [(1, 8), (3, 8), (8, 8), (37, 8), (81, 16), (48, 64), (117, 96)])
def test_segments_have_the_frame_in_the_middle_of_their_rounded_edges(total, frames):
    edges = [int(np.round(float(total - 1) / frames * edge)) for edge in range(frames + 1)]
    middles = [(edges[i] + edges[i + 1]) // 2 for i in range(frames)]
    video = dict(total_frames=total, start_index=0)
    assert ReleasedSampleSegments(frames, test_mode=True).transform(dict(video))['frame_inds'].tolist() == middles
    two = ReleasedSampleSegments(frames, 2, True, 'reversed').transform(dict(video, start_index=1))
    assert two['frame_inds'].tolist() == [frame + 1 for frame in middles[::-1]] * 2
    drawn = np.array([ReleasedSampleSegments(frames).transform(dict(video))['frame_inds'] for _ in range(300)])
    assert (drawn.min(0) >= edges[:-1]).all()
    assert (drawn.max(0) <= edges[1:]).all()


def test_segments_are_not_the_papers():
    # 37 frames: edges 0, 4, 9, 14 (13.5 rounds to even), 18, 22, 27, 32 (31.5), 36
    frames = ReleasedSampleSegments(8, test_mode=True).transform(dict(total_frames=37, start_index=0))['frame_inds']
    assert frames.tolist() == [2, 6, 11, 16, 20, 24, 29, 34]


@pytest.mark.parametrize(
    ('shape', 'side', 'size', 'corners'),
    [
        ((240, 426), 224, (224, 397), [(0, 0), (0, 87), (0, 173)]),  # 397.6; 173 / 2 = 86.5
        ((426, 240), 224, (397, 224), [(0, 0), (87, 0), (173, 0)]),
        ((240, 320), 224, (224, 298), [(0, 0), (0, 37), (0, 74)]),
        ((224, 301), 224, (224, 301), [(0, 0), (0, 39), (0, 77)]),
        ((100, 100), 224, (224, 224), [(0, 0), (0, 0), (0, 0)]),
        ((240, 427), 256, (256, 455), [(16, 0), (16, 116), (16, 231)]),
    ],
)
def test_sizes_are_rounded_down_and_centres_up(shape, side, size, corners):
    scaled = ReleasedResize(side).transform(dict(imgs=[np.zeros((*shape, 3), np.uint8)], img_shape=shape))
    assert scaled['img_shape'] == size == scaled['imgs'][0].shape[:2]
    assert ReleasedCropViews(224, 3).corners(*size) == corners
    assert ReleasedCropViews(224, 2).corners(*size) == corners[:2]
    assert ReleasedCropViews(224, 1).corners(*size) == corners[1:2]


def test_more_than_three_crops_are_refused():
    with pytest.raises(ValueError, match='num_crops is 5, but the released code cuts 3 crops at most'):
        ReleasedCropViews(224, 5)


@pytest.mark.parametrize(('inverse', 'shape'), [(False, (240, 426)), (True, (426, 240)), (True, (300, 300))])
def test_short_sides_in_training_are_rounded_draws_of_the_length_or_its_reciprocal(inverse, shape):
    low, high, ratio = 256, 320, max(shape) / min(shape)
    for seed in range(20):
        np.random.seed(seed)
        got = ReleasedResize((low, high), inverse).transform(dict(imgs=[], img_shape=shape))['img_shape']
        np.random.seed(seed)
        side = round(1 / np.random.uniform(1 / high, 1 / low)) if inverse else round(np.random.uniform(low, high))
        assert sorted(got) == [side, math.floor(ratio * side)]
        assert (got[0] < got[1]) == (shape[0] < shape[1]) or got[0] == got[1]


def load(name: str, **options) -> Any:
    init_default_scope('mmtsf')
    small = {'clip.size': 32, 'clip.jitter': (40, 50), 'start': None, 'data.num_classes': 6, 'protocol': 'released'}
    tiny = {'model.backbone.num_layers': 1, 'model.backbone.embed_dims': 48, 'model.backbone.num_heads': 3}
    return load_config(CONFIGS / f'timesformer_{name}.py', small | tiny | options)


def views_by_hand(frames: np.ndarray, side: int, crops: int, bgr: bool) -> torch.Tensor:
    """Frames ``(T, H, W, 3)`` normalised, then scaled, then cropped: ``(crops, 3, T, 32, 32)``."""
    clip = (torch.from_numpy(frames[..., ::-1].copy() if bgr else frames).float() / 255 - 0.45) / 0.225
    height, width = frames.shape[1:3]
    size = (math.floor(height / width * side), side) if width < height else (side, math.floor(width / height * side))
    clip = F.interpolate(clip.permute(3, 0, 1, 2), size=size, mode='bilinear', align_corners=False)
    along = 3 if width >= height else 2
    centred = clip.narrow(5 - along, math.ceil((clip.shape[5 - along] - 32) / 2), 32)
    places = [0, math.ceil((clip.shape[along] - 32) / 2), clip.shape[along] - 32]
    return torch.stack([centred.narrow(along, place, 32) for place in (places if crops == 3 else places[1:2])])


@pytest.mark.parametrize(('name', 'bgr', 'single_side'), [('base_k400', False, 40), ('base_ssv2', True, 32)])
@pytest.mark.parametrize('crops', [1, 3])
@pytest.mark.parametrize('shape', [(60, 107), (107, 60), (32, 45), (20, 20)])
def test_scores_of_a_video_are_those_of_views_made_by_hand(name, bgr, single_side, crops, shape):
    frames = np.random.default_rng(0).integers(0, 256, (40, *shape, 3), dtype=np.uint8)
    config = load(name, **{'views.num_crops': crops})
    torch.manual_seed(0)
    model = MODELS.build(config.model).eval()
    model.init_weights()
    video = dict(filename='noise', label=0, modality='RGB', start_index=0, broken=[], reader=ArrayReader(frames, 12))
    sample = Compose(config.test_pipeline)(video)
    views = views_by_hand(frames[sample['data_samples'].frame_inds], single_side if crops == 1 else 32, crops, bgr)
    with torch.no_grad():
        scores = model.test_step(pseudo_collate([sample]))[0].pred_scores.item
        expected = model.cls_head(model.backbone(views)).sum(dim=0)
    torch.testing.assert_close(scores * crops, expected, rtol=0, atol=1e-5)


def test_frames_are_bgr_where_the_released_loader_read_them_so():
    swapped = {
        name: load(name).model.data_preprocessor.to_rgb for name in ('base_k400', 'hr_k600', 'base_ssv2', 'l_ssv2')
    }
    assert swapped == dict(base_k400=False, hr_k600=False, base_ssv2=True, l_ssv2=True)
    assert load('base_ssv2', protocol='paper').model.data_preprocessor.to_rgb is False


@pytest.mark.parametrize('name', ['base_k400', 'base_ssv2'])
def test_strong_augmentation_gives_uint8_clips_with_either_protocol(name):
    pipeline = Compose(load(name, **{'data.augmentation': 'strong'}).train_pipeline)
    frames = np.random.default_rng(0).integers(0, 256, (20, 64, 80, 3), dtype=np.uint8)
    video = dict(filename='noise', label=0, modality='RGB', start_index=0, broken=[], reader=ArrayReader(frames))
    assert pipeline(video)[0]['inputs'].dtype == torch.uint8


@pytest.mark.parametrize(('name', 'kinds'), [('base_k400', 'SampleClips'), ('base_ssv2', 'SampleSegments')])
def test_the_papers_pipelines_are_what_they_were(name, kinds):
    config = load(name, protocol='paper')
    flip = 0.5 if name == 'base_k400' else 0.0
    train, val, test = (config[f'{split}_dataloader'].dataset.pipeline for split in ('train', 'val', 'test'))
    names = [[step.type for step in pipeline] for pipeline in (train, val, test)]
    pack = ['FormatShape', 'PackActionInputs']
    assert names[0] == ['OpenVideo', kinds, 'DecodeFrames', 'ForEachClip']
    assert names[1] == names[2] == ['OpenVideo', kinds, 'DecodeFrames', 'Resize', 'CropViews', *pack]
    assert train[3].transforms[:3] == [
        dict(type='RandomRescale', scale_range=(40, 50)),
        dict(type='RandomCrop', size=32),
        dict(type='Flip', flip_ratio=flip),
    ]
    assert test[3:5] == [
        dict(type='Resize', scale=(-1, 32)),
        dict(type='CropViews', size=32, num_crops=3),
    ]
