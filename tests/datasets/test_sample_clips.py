"""Which frames make a clip: tables worked out by hand. Those of the released code are in test_released_protocol.py."""

from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import BaseTransform

from mmtsf.config import load_config
from mmtsf.datasets.transforms import SampleClips
from mmtsf.registry import TRANSFORMS

CONFIGS = Path(__file__).parents[2] / 'configs'
PAPER = dict(num_frames=8, frame_interval=32, start='middle')
STARTS = ('random', 'middle', 'cover')


def sample(total_frames: int, avg_fps: float | None = 30, **arguments) -> list[list[int]]:
    """Frames of every clip."""
    results = SampleClips(**arguments).transform(dict(total_frames=total_frames, avg_fps=avg_fps))
    assert (results['clip_len'], results['frame_interval']) == (arguments['num_frames'], arguments['frame_interval'])
    return results['frame_inds'].reshape(results['num_clips'], results['clip_len']).tolist()


def test_the_paper_takes_the_clip_in_the_middle():
    # 225 of 300 frames, so 75 are left: 37 before and 38 after
    assert sample(300, **PAPER) == [[37, 69, 101, 133, 165, 197, 229, 261]]


def test_the_paper_counts_in_frames_whatever_the_frame_rate():
    assert sample(300, 60, **PAPER) == sample(300, 25, **PAPER) == sample(300, None, **PAPER) == sample(300, **PAPER)


def test_ten_clips_reach_from_the_first_frame_to_the_last():
    clips = sample(300, num_clips=10, **PAPER)
    assert [clip[0] for clip in clips] == [0, 8, 17, 25, 33, 42, 50, 58, 67, 75]  # 75 / 9 apart
    assert [np.diff(clip).tolist() for clip in clips] == [[32] * 7] * 10
    assert clips[-1][-1] == 299


@pytest.mark.parametrize(
    ('total_frames', 'starts'),
    [
        (1, [0]),
        (254, [0]),
        (255, [0]),
        (256, [0, 31]),  # the last one ends with the video
        (300, [0, 75]),
        (1024, [0, 255, 510, 765, 799]),
    ],
)
def test_as_many_clips_as_it_takes_cover_the_video(total_frames, starts):
    clips = sample(total_frames, num_frames=8, frame_interval=32, start='cover')
    assert clips == [[min(start + 32 * i, total_frames - 1) for i in range(8)] for start in starts]


@pytest.mark.parametrize(('frames', 'clips', 'seconds'), [(8, 48, 8.5), (32, 12, 34.1), (64, 6, 68.3), (96, 4, 102.4)])
def test_a_video_of_400_s_is_covered_by_as_many_clips_as_in_table_8(frames, clips, seconds):
    starts = [clip[0] for clip in sample(400 * 30, num_frames=frames, frame_interval=32, start='cover')]
    assert len(starts) == clips
    assert np.diff(starts)[:-1].tolist() == [32 * frames - 1] * (clips - 2)
    assert starts[-1] == 400 * 30 - 32 * (frames - 1) - 1  # it ends with the video
    assert 32 * frames / 30 == pytest.approx(seconds, abs=0.05)


@pytest.mark.parametrize(('num_frames', 'frame_interval'), [(1, 1), (8, 1), (8, 2), (8, 32)])
def test_clips_that_cover_a_video_share_no_frame_but_the_last_two(num_frames, frame_interval):
    clips = sample(1000, num_frames=num_frames, frame_interval=frame_interval, start='cover')[:-1]
    assert all(before[-1] < after[0] for before, after in zip(clips, clips[1:]))


def sample_times(times: list[float], **sampling) -> list[list[int]]:
    video = dict(total_frames=len(times) - 1, avg_fps=(len(times) - 1) / times[-1], times=np.array(times))
    clips = SampleClips(**sampling).transform(video)['frame_inds']
    return clips.reshape(-1, sampling['num_frames']).tolist()


def test_in_a_video_of_variable_rate_distances_are_seconds():
    times = [*(i / 25 for i in range(50)), *(12 + i / 25 for i in range(51))]  # frames at 0 to 2 s and 12 to 14 s
    sampling = dict(num_frames=8, frame_interval=60, target_fps=30)  # every 2 s
    (clip,) = sample_times(times, start='cover', **sampling)
    assert clip == [0, 49, 49, 49, 49, 49, 50, 99]  # 0, 2, 4 ... 14 s; in the pause the frame before it is shown
    clips = sample_times(times, start='cover', **sampling | dict(num_frames=2))
    assert clips == [[0, 49], [49, 49], [49, 49], [49, 97]]  # from 0, 3.97, 7.93 and 11.9 s on
    assert sample_times(times, start='cover', num_frames=8, frame_interval=12) == sample(
        100, num_frames=8, frame_interval=12, start='cover'
    )  # without a rate distances are frames


@pytest.mark.parametrize('jitter', [0, 0.001])
def test_in_a_video_of_constant_rate_distances_are_in_the_ratio_of_the_rates(jitter):
    times = (np.arange(301) / 25 + jitter * np.random.default_rng(0).random(301)).tolist()
    sampling = dict(num_frames=8, frame_interval=32, target_fps=30, start='middle')
    assert sample_times(times, **sampling) == sample(300, 300 / times[-1], **sampling)


def test_random_clips_reach_both_ends_and_no_further():
    np.random.seed(0)
    clips = np.array([sample(300, num_frames=8, frame_interval=32, start='random')[0] for _ in range(2000)])
    assert set(clips[:, 0]) == set(range(76))
    assert (clips[:, 0].min(), clips[:, -1].max()) == (0, 299)
    assert (np.diff(clips) == 32).all()


@pytest.mark.parametrize('fps', [25, 60])
def test_random_clips_of_another_frame_rate_keep_their_distances_in_seconds(fps):
    arguments = PAPER | dict(start='random', target_fps=30)
    clips = np.array([sample(600, fps, **arguments)[0] for _ in range(200)])
    assert (clips - clips[:, :1] == [int(step * 32 * fps / 30) for step in range(8)]).all()
    assert clips.max() <= 599


def test_a_short_video_ends_in_its_last_frame():
    assert sample(10, num_frames=8, frame_interval=3, start='middle') == [[0, 3, 6, 9, 9, 9, 9, 9]]


@pytest.mark.parametrize('start', STARTS)
@pytest.mark.parametrize('more', [{}, dict(target_fps=30), dict(num_clips=3)])
@pytest.mark.parametrize(('total_frames', 'frames'), [(1, [0] * 8), (3, [0] + [2] * 7)])
def test_videos_of_one_and_three_frames_give_clips(total_frames, frames, more, start):
    if start == 'cover':
        more = {**more, 'num_clips': 1}
    clips = sample(total_frames, 12, num_frames=8, frame_interval=32, start=start, **more)
    assert clips == [frames] * more.get('num_clips', 1)


@pytest.mark.parametrize(
    ('wrong', 'words'),
    [
        (dict(num_frames=0), 'num_frames is 0, expected an integer of at least 1'),
        (dict(num_frames='8'), "num_frames is '8', expected an integer of at least 1"),
        (dict(frame_interval=2.5), 'frame_interval is 2.5, expected an integer of at least 1'),
        (dict(num_clips=-1), 'num_clips is -1, expected an integer of at least 1'),
        (dict(start='centre'), r"start is 'centre', expected one of \('random', 'middle', 'cover'\)"),
        (
            dict(start='cover', num_clips=10),
            'num_clips is 10, but clips that cover a video .* are as many as its length',
        ),
    ],
)
def test_an_argument_that_makes_no_clip_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        SampleClips(**PAPER | wrong)


def segments(split: str) -> BaseTransform:
    """What takes frames in a split of the Something-Something-V2 config."""
    config = load_config(str(CONFIGS / 'timesformer_base_ssv2.py'))
    return TRANSFORMS.build(config[f'{split}_dataloader'].dataset.pipeline[1])


@pytest.mark.parametrize('split', ['val', 'test'])
@pytest.mark.parametrize(
    ('total_frames', 'frames'),
    [
        (1, [0] * 8),
        (3, [0, 0, 0, 1, 1, 1, 2, 2]),
        (8, [0, 1, 2, 3, 4, 4, 5, 6]),
        (81, [5, 15, 25, 35, 45, 55, 65, 75]),
    ],
)
def test_something_something_takes_the_middle_of_eight_equal_parts(total_frames, frames, split):
    results = segments(split).transform(dict(total_frames=total_frames, start_index=0))
    assert (results['frame_inds'].tolist(), results['num_clips']) == (frames, 1)


def test_something_something_trains_on_any_frame_of_eight_equal_parts():
    transform = segments('train')
    for total_frames in (1, 3, 8, 81):
        video = dict(total_frames=total_frames, start_index=0)
        drawn = np.array([transform.transform(video)['frame_inds'] for _ in range(100)])
        edges = np.round(np.arange(9) * (total_frames - 1) / 8)
        assert np.array_equal(drawn.min(0), edges[:-1])
        assert np.array_equal(drawn.max(0), edges[1:])


def test_a_config_of_version_0_1_is_taken_or_told_the_name_of_what_it_asks_for():
    assert sample(300, spacing='exact', **PAPER) == sample(300, **PAPER)
    for old in (dict(spacing='linspace'), dict(start='first')):
        with pytest.raises(ValueError, match='use ReleasedSampleClips'):
            SampleClips(**PAPER | old)
