"""Many videos at once, by MMEngine's inferencer."""

import json
import shutil

import numpy as np
import pytest
from helpers import MOTION_CLASSES
from runs import ROOT, TINY
from videos import write_greys

from mmtsf.apis import TimeSformerInferencer, inference_recognizer, to_sample
from mmtsf.datasets.decoders import BrokenVideoError, open_video
from mmtsf.registry import INFERENCERS


@pytest.fixture
def inferencer(tiny_checkpoint) -> TimeSformerInferencer:
    return TimeSformerInferencer(str(ROOT / TINY), str(tiny_checkpoint), 'cpu')


def scores_of(predictions: list[dict]) -> np.ndarray:
    """Scores ``(N, K)`` in the order of the labels."""
    return np.array([[dict(zip(p['labels'], p['scores']))[label] for label in range(4)] for p in predictions])


def test_a_folder_has_a_prediction_for_every_video_whatever_the_batch(inferencer, model, motion):
    predictions, by_five = (inferencer(motion / 'test', batch_size=size)['predictions'] for size in (1, 5))
    assert [p['video'] for p in predictions] == [str(path) for path in sorted(motion.glob('test/**/*.mp4'))]
    singly = [inference_recognizer(model, p['video']).pred_scores.item for p in predictions]
    assert scores_of(predictions) == pytest.approx(np.stack(singly), abs=1e-6)
    assert scores_of(by_five) == pytest.approx(np.stack(singly), abs=1e-6)
    assert [p['video'] for p in by_five] == [p['video'] for p in predictions]
    for p in predictions + by_five:
        assert p['names'] == [MOTION_CLASSES[label] for label in p['labels']]
        assert p['scores'] == sorted(p['scores'], reverse=True)
        # 22 frames at 12 a second lie between the first and the last of 8, 3 apart, of 24: one before, one after
        assert p['times'] == [pytest.approx((1 / 12, 23 / 12))]
    assert json.loads(json.dumps(predictions))[0] == predictions[0] | dict(times=[list(predictions[0]['times'][0])])


def test_paths_and_frames_may_be_mixed_and_views_may_differ(inferencer, motion, tmp_path):
    path = str(next(motion.glob('test/left/*.mp4')))
    reader = open_video(path)
    frames = reader.read(np.arange(reader.num_frames))
    predictions = inferencer([path, frames, write_greys(tmp_path / 'grey.mp4', 40)], batch_size=3)['predictions']
    assert scores_of(predictions[:1]) == pytest.approx(scores_of(predictions[1:2]), abs=1e-6)
    assert [p['video'] for p in predictions] == [path, 'frames', str(tmp_path / 'grey.mp4')]
    assert predictions[1]['times'] is None


def test_times_are_those_at_which_frames_are_shown(inferencer, tmp_path):
    times = [*range(50), *range(300, 350)]  # at 25 a second: 0 to 2 s, and 12 to 14 s
    path = write_greys(tmp_path / 'pause.mp4', 100, fps=25, times=times)
    (prediction,) = inferencer(path)['predictions']
    assert prediction['times'] == [pytest.approx((times[39] / 25, times[60] / 25 + 1 / 25))]  # frames 39, 42 ... 60


def test_videos_with_other_numbers_of_clips_share_a_batch(tiny_checkpoint, tmp_path):
    inferencer = TimeSformerInferencer(ROOT / TINY, tiny_checkpoint, 'cpu', options={'data.sampling': 'cover'})
    paths = [write_greys(tmp_path / f'{length}.mp4', length) for length in (20, 50, 40, 90)]
    together = inferencer(paths, batch_size=4)['predictions']
    assert [len(p['times']) for p in together] == [1, 3, 2, 4]
    singly = [inferencer(path)['predictions'][0] for path in paths]
    assert scores_of(together) == pytest.approx(scores_of(singly), abs=1e-6)


def test_a_broken_video_is_an_error_or_a_prediction_that_says_so(inferencer, motion, tmp_path):
    good = shutil.copy(next(motion.glob('test/left/*.mp4')), tmp_path / 'b.mp4')
    (tmp_path / 'a.mp4').write_bytes(b'')
    with pytest.raises(BrokenVideoError, match='the file is empty'):
        inferencer(str(tmp_path))
    first, second = inferencer(str(tmp_path), batch_size=2, skip_broken=True)['predictions']
    assert first == dict(video=str(tmp_path / 'a.mp4'), error='the file is empty')
    assert second['video'] == str(good)
    assert len(second['names']) == 4


def test_data_samples_come_as_they_are_when_asked_for(inferencer, motion):
    path = str(next(motion.glob('test/left/*.mp4')))
    (sample,) = inferencer(path, return_datasamples=True)['predictions']
    assert sample.filename == path
    assert inferencer(path, topk=2)['predictions'][0]['labels'] == sample.pred_scores.item.topk(2).indices.tolist()


def test_it_is_in_the_registry():
    assert INFERENCERS.get('TimeSformerInferencer') is TimeSformerInferencer


def test_a_dict_is_a_sample_already():
    sample = dict(filename='a')
    assert to_sample(sample) is sample
