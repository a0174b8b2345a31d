"""Accuracies against numbers worked out by hand, and videos that were not scored."""

import logging
from pathlib import Path

import cv2
import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.structures import LabelData

from mmtsf.evaluation import VideoAccuracy
from mmtsf.models import TimeSformerHead

CLASSES = ['ape', 'bat', 'cat, wild', 'dog', 'eel', 'fox']
#: Classes from likely to unlikely, and label, of seven videos
VIDEOS = [('012345', 0), ('102345', 0), ('102345', 1), ('013452', 2), ('301245', 3), ('401235', 4), ('501234', 5)]


def scored(ranking: str, label: int, broken: tuple = ()) -> dict:
    """What a model says of a video."""
    scores = torch.tensor([1.0 - ranking.index(str(number)) / 10 for number in range(len(ranking))])
    return dict(pred_scores=dict(item=scores), gt_labels=dict(item=torch.tensor([label])), broken=list(broken))


def unread(path: Path, ranking: str = '201345', label: int = 2) -> dict:
    """A prediction, right by chance, for the black clip in the place of a broken video."""
    return scored(ranking, label, broken=[(str(path), f'{path}: the file is empty')])


def evaluate(samples: list[dict], batch_size: int = 3, **arguments) -> dict[str, float]:
    metric = VideoAccuracy(**arguments)
    metric.dataset_meta = dict(classes=CLASSES)
    for start in range(0, len(samples), batch_size):
        metric.process(None, samples[start : start + batch_size])
    return metric.evaluate(len(samples))


def test_accuracies_are_those_worked_out_by_hand():
    # right: 0, 2, 4, 5, 6; within five: all but 3; classes: 1/2, 1, 0, 1, 1, 1
    assert evaluate([scored(*video) for video in VIDEOS]) == pytest.approx(
        {'acc/top1': 5 / 7, 'acc/top5': 6 / 7, 'acc/mean1': 4.5 / 6}
    )


@pytest.mark.parametrize(
    ('topk', 'expected'),
    [((1, 2), {'acc/top1': 5 / 7, 'acc/top2': 6 / 7}), ((6,), {'acc/top6': 1.0}), (1, {'acc/top1': 5 / 7})],
)
def test_any_k_may_be_asked_for(topk, expected):
    assert evaluate([scored(*video) for video in VIDEOS], topk=topk) == pytest.approx(expected | {'acc/mean1': 0.75})


@pytest.mark.parametrize(('ranking', 'names'), [('01234', {'top1', 'mean1'}), ('012345', {'top1', 'top5', 'mean1'})])
def test_top_5_of_five_classes_is_not_reported(ranking, names):
    assert set(evaluate([scored(ranking, 0)])) == {f'acc/{name}' for name in names}
    head = TimeSformerHead(len(ranking), 8)
    sample = ActionDataSample(gt_labels=LabelData(item=torch.tensor([0])))
    assert ('top5_acc' in head.loss_by_feat(torch.rand(1, len(ranking)), [sample])) == ('top5' in names)


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluate([scored(*video) for video in VIDEOS])
    assert list(tmp_path.iterdir()) == []


def test_several_labels_a_video_are_judged_by_mean_average_precision(tmp_path):
    scores = [[0.9, 0.9, 0.1], [0.8, 0.1, 0.2], [0.7, 0.2, 0.9]]
    labels = [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]
    samples = [
        dict(pred_scores=dict(item=torch.tensor(row)), gt_labels=dict(item=torch.tensor(label)), broken=[])
        for row, label in zip(scores, labels)
    ]
    # the first class has its videos at ranks 1 and 3: (1/1 + 2/3) / 2; the others have theirs at rank 1
    assert evaluate(samples, out_dir=str(tmp_path)) == pytest.approx(
        {'acc/mean_average_precision': (5 / 6 + 1 + 1) / 3}
    )


def test_results_by_class_and_the_confusion_matrix_are_written(tmp_path):
    out_dir = tmp_path / 'new' / 'folder'
    evaluate([scored(*video) for video in VIDEOS] + [unread(tmp_path / 'a.mp4')], out_dir=str(out_dir))
    assert (out_dir / 'per_class.csv').read_text().splitlines() == [
        'label,class,videos,correct,recall,precision',
        '0,ape,2,1,0.5000,0.5000',
        '1,bat,1,1,1.0000,0.5000',
        '2,"cat, wild",1,0,0.0000,',
        '3,dog,1,1,1.0000,1.0000',
        '4,eel,1,1,1.0000,1.0000',
        '5,fox,1,1,1.0000,1.0000',
    ]
    assert min(cv2.imread(str(out_dir / 'confusion_matrix.png')).shape[:2]) > 100


def test_broken_videos_are_left_out_and_counted(tmp_path, caplog):
    (tmp_path / 'empty.mp4').touch()
    broken = [unread(tmp_path / 'empty.mp4'), unread(tmp_path / 'missing.mp4'), unread(tmp_path / 'lost.mp4')]
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.handler.setLevel(logging.INFO)
    try:
        metrics = evaluate(broken[:1] + [scored(*video) for video in VIDEOS] + broken[1:])
    finally:
        logger.removeHandler(caplog.handler)
    assert metrics == evaluate([scored(*video) for video in VIDEOS])
    assert caplog.messages == ['videos: 10 expected, 8 found, 7 scored'] + [
        f'not scored: {tmp_path / name}.mp4: the file is empty' for name in ('empty', 'missing', 'lost')
    ]


def test_broken_videos_alone_give_no_accuracy(tmp_path):
    with pytest.raises(RuntimeError, match='none of the 2 videos could be read; check that data.root points at them'):
        evaluate([unread(tmp_path / 'a.mp4'), unread(tmp_path / 'b.mp4')])


@pytest.mark.parametrize('meta', [None, {}, dict(classes=['ape', 'bat']), dict(task='x')])
def test_classes_that_the_data_set_does_not_name_are_called_by_their_numbers(meta, tmp_path):
    metric = VideoAccuracy(out_dir=str(tmp_path))
    metric.dataset_meta = meta
    metric.process(None, [scored(*video) for video in VIDEOS])
    assert metric.evaluate(len(VIDEOS)) == pytest.approx({'acc/top1': 5 / 7, 'acc/top5': 6 / 7, 'acc/mean1': 0.75})
    names = [line.split(',')[1] for line in (tmp_path / 'per_class.csv').read_text().splitlines()[1:]]
    assert names == [*(meta or {}).get('classes', ['0', '1']), '2', '3', '4', '5']


@pytest.mark.parametrize('label', [-1, 6])
def test_a_label_without_a_score_is_refused(label):
    with pytest.raises(ValueError, match=f'a video has the label {label}, but there are scores of 6 classes'):
        evaluate([scored('012345', label)])


def test_mmactions_metrics_stand_beside_it_and_agree():
    evaluator = Evaluator(
        [dict(type='VideoAccuracy'), dict(type='AccMetric', prefix='other'), dict(type='ConfusionMatrix')]
    )
    evaluator.dataset_meta = dict(classes=CLASSES)
    evaluator.process([scored(*video) for video in VIDEOS])
    metrics = evaluator.evaluate(len(VIDEOS))
    assert {name: metrics[f'acc/{name}'] for name in ('top1', 'top5', 'mean1')} == pytest.approx(
        {name: metrics[f'other/{name}'] for name in ('top1', 'top5', 'mean1')}
    )
    matrix = metrics['confusion_matrix/result']
    assert (matrix.sum().item(), matrix.diagonal().sum().item()) == (7, 5)


def test_it_takes_the_arguments_of_mmactions_metric():
    options = dict(top_k_accuracy=dict(topk=(2,)))
    samples = [scored(*video) for video in VIDEOS]
    assert evaluate(samples, metric_list='top_k_accuracy', metric_options=options) == {'acc/top2': 6 / 7}
    assert evaluate(samples, metric_list=('mean_class_accuracy',), prefix='x') == {'x/mean1': 0.75}
