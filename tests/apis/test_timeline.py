"""Scores over time: the paper's protocol for long videos, streamed."""

import numpy as np
import pytest
from runs import ROOT, TINY
from videos import write_greys

from mmtsf.apis import covering, inference_recognizer, init_recognizer, timeline
from mmtsf.datasets.decoders import ArrayReader, open_video


@pytest.fixture
def noise() -> np.ndarray:
    """100 frames that differ."""
    return np.random.default_rng(0).integers(0, 256, (100, 64, 80, 3), dtype=np.uint8)


@pytest.mark.parametrize('batch_size', [1, 3])
def test_the_mean_over_time_is_the_score_of_the_howto100m_protocol(model, tiny_checkpoint, noise, batch_size):
    scenes = list(timeline(model, ArrayReader(noise, fps=10), batch_size=batch_size))
    protocol = init_recognizer(ROOT / TINY, tiny_checkpoint, 'cpu', {'data.sampling': 'cover'})
    result = inference_recognizer(protocol, noise)
    assert len(scenes) == result.num_clips == 5  # of 23 frames each
    mean = np.mean([scene.scores for scene in scenes], axis=0)
    assert mean == pytest.approx(result.pred_scores.item.numpy(), abs=1e-6)


def test_each_scene_has_the_scores_of_its_own_clip(model, noise):
    scenes = list(timeline(model, ArrayReader(noise, fps=10)))
    assert [scene[:2] for scene in scenes] == [(0, 2.3), (2.3, 4.6), (4.6, 6.9), (6.9, 9.1), (9.1, 10)]
    for scene, start in zip(scenes, (0, 23, 46, 69, 78)):  # the last one is as long as all others
        alone = inference_recognizer(model, noise[start : start + 22]).pred_scores.item.numpy()
        assert scene.scores == pytest.approx(alone, abs=1e-6)


def test_frames_are_decoded_once_and_in_order(model, tmp_path, monkeypatch):
    reader = open_video(write_greys(tmp_path / 'video.mp4', 100))
    asked = []
    stream = type(reader).stream
    monkeypatch.setattr(type(reader), 'stream', lambda self, indices: asked.append(indices) or stream(self, indices))
    monkeypatch.setattr(type(reader), 'read', None)
    scenes = list(timeline(model, reader))
    assert len(scenes) == 5
    assert len(asked) == 1
    assert (np.diff(asked[0]) > 0).all()


def test_another_distance_of_frames_may_be_asked_for(model, noise):
    assert len(list(timeline(model, ArrayReader(noise), frame_interval=1))) == 13  # 8 frames each
    assert [scene.end for scene in timeline(model, ArrayReader(noise), frame_interval=5)] == [39, 75, 100]  # in frames


def test_times_are_those_at_which_frames_are_shown(model, tmp_path):
    times = [*range(50), *range(300, 350)]  # at 25 a second: 0 to 2 s, and 12 to 14 s
    reader = open_video(write_greys(tmp_path / 'pause.mp4', 100, fps=25, times=times))
    scenes = list(timeline(model, reader))
    shown = [times[frame] / 25 for frame in (0, 23, 46, 69, 91)] + [14]
    assert [scene.start for scene in scenes] == pytest.approx(shown[:-1])
    assert [scene.end for scene in scenes] == pytest.approx(shown[1:])


def test_a_video_shorter_than_a_clip_is_one_scene(model, noise):
    (scene,) = timeline(model, ArrayReader(noise[:5], fps=10))
    assert scene[:2] == (0, 0.5)
    alone = inference_recognizer(model, noise[:5]).pred_scores.item.numpy()
    assert scene.scores == pytest.approx(alone, abs=1e-6)


def test_a_model_of_whole_short_videos_asks_for_the_distance_of_frames(tiny_checkpoint, noise):
    model = init_recognizer(ROOT / TINY, tiny_checkpoint, 'cpu', {'data.sampling': 'segments'})
    with pytest.raises(ValueError, match='give the distance of frames: --frame-interval'):
        covering(model)
    assert len(list(timeline(model, ArrayReader(noise), frame_interval=5))) == 3
