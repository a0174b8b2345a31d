"""Accuracies against numbers worked out by hand, and videos that were not scored."""

import csv
import logging
import math
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.structures import LabelData

from mmtsf.engine.hooks import CheckpointHook
from mmtsf.evaluation import VideoAccuracy
from mmtsf.evaluation.class_metrics import class_table
from mmtsf.models import TimeSformerHead
from mmtsf.utils.ranking import ranks_of

CLASSES = ['ape', 'bat', 'cat, wild', 'dog', 'eel', 'fox']
#: Classes from likely to unlikely, and label, of seven videos
VIDEOS = [('012345', 0), ('102345', 0), ('102345', 1), ('013452', 2), ('301245', 3), ('401235', 4), ('501234', 5)]
#: The mean of 1/2, 2/3, 0, 1, 1, 1
F1 = 25 / 36


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
    # right: 0, 2, 4, 5, 6; within five: all but 3; classes: 1/2, 1, 0, 1, 1, 1; F1: 1/2, 2/3, 0, 1, 1, 1
    assert evaluate([scored(*video) for video in VIDEOS]) == pytest.approx(
        {'acc/top1': 5 / 7, 'acc/top5': 6 / 7, 'acc/mean1': 4.5 / 6, 'acc/macro_f1': F1}
    )


@pytest.mark.parametrize(
    ('topk', 'expected'),
    [((1, 2), {'acc/top1': 5 / 7, 'acc/top2': 6 / 7}), ((6,), {'acc/top6': 1.0}), (1, {'acc/top1': 5 / 7})],
)
def test_any_k_may_be_asked_for(topk, expected):
    assert evaluate([scored(*video) for video in VIDEOS], topk=topk) == pytest.approx(
        expected | {'acc/mean1': 0.75, 'acc/macro_f1': F1}
    )


@pytest.mark.parametrize(
    ('ranking', 'names'),
    [('01234', {'top1', 'mean1', 'macro_f1'}), ('012345', {'top1', 'top5', 'mean1', 'macro_f1'})],
)
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
    metrics = evaluate(samples, out_dir=str(tmp_path))
    assert metrics['acc/mean_average_precision'] == pytest.approx((5 / 6 + 1 + 1) / 3)
    # above 0.5: 1 1 0, 1 0 0, 1 0 1
    assert metrics['acc/macro_f1'] == pytest.approx((4 / 5 + 1 + 1) / 3)
    assert (tmp_path / 'per_class.csv').read_text().splitlines()[:2] == [
        'label,class,videos,correct,recall,precision,f1,average_precision',
        '0,ape,2,2,1.0000,0.6667,0.8000,0.8333',
    ]
    assert {path.name for path in tmp_path.iterdir()} == {'per_class.csv', 'calibration.csv', 'reliability.png'}


def test_results_by_class_and_the_confusion_matrix_are_written(tmp_path):
    out_dir = tmp_path / 'new' / 'folder'
    evaluate([scored(*video) for video in VIDEOS] + [unread(tmp_path / 'a.mp4')], out_dir=str(out_dir))
    assert (out_dir / 'per_class.csv').read_text().splitlines() == [
        'label,class,videos,correct,recall,precision,f1',
        '0,ape,2,1,0.5000,0.5000,0.5000',
        '1,bat,1,1,1.0000,0.5000,0.6667',
        '2,"cat, wild",1,0,0.0000,,0.0000',
        '3,dog,1,1,1.0000,1.0000,1.0000',
        '4,eel,1,1,1.0000,1.0000,1.0000',
        '5,fox,1,1,1.0000,1.0000,1.0000',
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
    metrics = {'acc/top1': 5 / 7, 'acc/top5': 6 / 7, 'acc/mean1': 0.75, 'acc/macro_f1': F1}
    assert metric.evaluate(len(VIDEOS)) == pytest.approx(metrics)
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


def probable(rows: list[list[float]], labels: list) -> list[dict]:
    """What a model says of videos in probabilities; several labels a video are lists."""
    return [
        dict(pred_scores=dict(item=torch.tensor(row)), gt_labels=dict(item=torch.tensor(label)), broken=[])
        for row, label in zip(rows, labels)
    ]


@pytest.mark.parametrize('several', [False, True])
def test_calibration_and_f1_are_those_of_torchmetrics_and_the_bins_add_up(several, tmp_path):
    from torchmetrics.functional import classification  # which takes seconds

    torch.manual_seed(0)
    scores = torch.rand(40, 6) if several else torch.randn(40, 6).mul(2).softmax(dim=1)
    labels = torch.randint(0, 2, (40, 6)) if several else torch.randint(0, 6, (40,))
    rows = labels.tolist() if several else labels[:, None].tolist()
    metrics = evaluate(probable(scores.tolist(), rows), out_dir=str(tmp_path))
    if several:
        error = classification.binary_calibration_error(scores.flatten(), labels.flatten(), n_bins=15)
        f1 = classification.multilabel_f1_score(scores, labels, 6)
        hot = labels
    else:
        error = classification.multiclass_calibration_error(scores, labels, 6, n_bins=15)
        f1 = classification.multiclass_f1_score(scores, labels, 6, average='macro')
        hot = torch.nn.functional.one_hot(labels, 6)
        assert metrics['acc/nll'] == pytest.approx(float(torch.nn.functional.nll_loss(scores.log(), labels)))
    brier = (scores - hot).square()
    assert metrics['acc/brier'] == pytest.approx(float(brier.mean() if several else brier.sum(dim=1).mean()))
    assert (metrics['acc/ece'], metrics['acc/macro_f1']) == pytest.approx((float(error), float(f1)))
    with (tmp_path / 'calibration.csv').open() as file:
        bins = list(csv.DictReader(file))
    columns = ('predictions', 'mean_score', 'share_right')
    full = [[float(row[name]) for name in columns] for row in bins if row['mean_score']]
    total = sum(number for number, *_ in full)
    assert total == (240 if several else 40)
    assert sum(n * abs(a - b) for n, a, b in full) / total == pytest.approx(metrics['acc/ece'], abs=1e-3)


def test_a_score_of_one_lies_in_the_last_bin():
    metrics = evaluate(probable([[1.0, 0.0], [1.0, 0.0]], [[0], [1]]))
    assert (metrics['acc/ece'], metrics['acc/brier']) == pytest.approx((0.5, 1.0))


@pytest.mark.parametrize('several', [False, True])
def test_classes_without_a_test_video_are_left_out_of_means_and_named(several, caplog):
    labels = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]] if several else [[0], [1]]
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.handler.setLevel(logging.INFO)
    try:
        metrics = evaluate(probable([[0.6, 0.1, 0.3], [0.1, 0.2, 0.7]], labels))
    finally:
        logger.removeHandler(caplog.handler)
    assert metrics['acc/macro_f1'] == pytest.approx(0.5)
    assert metrics['acc/mean_average_precision' if several else 'acc/mean1'] == pytest.approx(1 if several else 0.5)
    assert '1 class of 3 without a test video, left out of means: cat, wild' in caplog.text


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_scores_that_are_not_finite_are_refused_in_a_test_and_no_measure_in_a_validation(value, tmp_path):
    results = probable([[0.5, value], [0.5, 0.5]], [[0], [1]])
    with pytest.raises(ValueError, match='a video has the scores .* which are not all finite'):
        evaluate(results, out_dir=str(tmp_path))
    metrics = evaluate(results)
    assert {'acc/top1', 'acc/mean1', 'acc/macro_f1'} <= set(metrics)
    assert all(map(math.isnan, metrics.values()))


def test_scores_of_each_view_are_refused():
    with pytest.raises(ValueError, match=r"a video has scores \(2, 2\).*set model.cls_head.average_clips to 'prob'"):
        evaluate(probable([[[0.5, 0.5], [0.5, 0.5]]], [[0]]))


def test_the_best_checkpoint_is_the_one_of_the_least_calibration_error():
    for key, rule in (('acc/ece', 'less'), ('acc/nll', 'less'), ('acc/brier', 'less'), ('acc/macro_f1', 'greater')):
        assert CheckpointHook(save_best=key).rules == [rule]


def test_a_best_metric_that_there_is_not_is_refused_before_training():
    metric = VideoAccuracy()
    assert set(evaluate([scored(*video) for video in VIDEOS])) < set(metric.names)
    runner = SimpleNamespace(val_loop=SimpleNamespace(evaluator=SimpleNamespace(metrics=[metric])))
    with pytest.raises(ValueError, match=r"save_best is 'acc/f1', which no validation gives; .* acc/macro_f1"):
        CheckpointHook(save_best='acc/f1', rule='greater')._check_best(runner)
    for names in ('auto', ['acc/top1', 'acc/ece'], 'acc/mean_average_precision'):
        CheckpointHook(save_best=names)._check_best(runner)


def test_of_classes_with_the_same_score_the_first_one_counts_everywhere(tmp_path):
    samples = probable([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.3, 0.3, 0.4]], [[0], [1], [1]])
    metrics = evaluate(samples, topk=(1, 2), out_dir=str(tmp_path))
    assert metrics['acc/top1'] == metrics['acc/mean1'] * 2 / 3 == pytest.approx(1 / 3)  # 1 of 1 and 0 of 2
    assert metrics['acc/top2'] == pytest.approx(2 / 3)
    with (tmp_path / 'predictions.csv').open() as file:
        assert [row['predicted'] for row in csv.DictReader(file)] == ['ape', 'ape', 'cat, wild']
    scores, labels = torch.tensor([row['pred_scores']['item'].tolist() for row in samples]), torch.tensor([0, 1, 1])
    assert ranks_of(scores, labels).tolist() == [0, 1, 2]
    assert ranks_of(torch.tensor([[torch.nan, 1.0], [1.0, torch.nan]]), torch.tensor([0, 0])).tolist() == [2, 1]
    given = [ActionDataSample(gt_labels=LabelData(item=torch.tensor([label]))) for label in labels]
    assert float(TimeSformerHead(3, 8).loss_by_feat(scores, given)['top1_acc']) == pytest.approx(1 / 3)


@pytest.mark.parametrize('number', [1, 2])
def test_any_number_of_classes_and_of_those_that_have_videos_is_measured(number):
    assert evaluate(probable([[1.0] + [0.0] * (number - 1)], [[0]]))['acc/macro_f1'] == 1
    one = class_table(torch.tensor([[0.9] * number, [0.2] * number]), torch.tensor([[1] + [0] * (number - 1)] * 2))
    assert (one.average_precision[0], one.recall[0]) == (1, 0.5)


def test_a_threshold_of_logits_is_what_the_head_says_and_large_ones_keep_their_order():
    rows, labels = [[0.6, 0.2], [40.0, 0.4], [50.0, 0.3], [60.0, 0.1]], [[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]
    head = TimeSformerHead(2, 8, multi_class=True, average_clips='score')
    samples = [ActionDataSample(gt_labels=LabelData(item=torch.tensor(label))) for label in labels]
    said = [sample.to_dict() for sample in head.predict_by_feat(torch.tensor(rows), samples)]
    # the last class is predicted of all, whatever the scores of others: precision 2/4, recall 1
    for shown in (said, said[:1]):
        assert evaluate(shown)['acc/macro_f1'] == pytest.approx(2 / 3 if len(shown) > 1 else 1)
    metrics = evaluate(said)
    assert 'acc/ece' not in metrics
    # ranks 1 and 4 of the first class: (1/1 + 2/4) / 2; 1 and 3 of the other: (1/1 + 2/3) / 2
    assert metrics['acc/mean_average_precision'] == pytest.approx((0.75 + 5 / 6) / 2)


@pytest.mark.parametrize(
    ('arguments', 'labels', 'error'),
    [
        (dict(metric_list='f1'), [[0]], "metric_list has 'f1', expected names of top_k_accuracy, "),
        (dict(topk=(1, 0)), [[0]], r'topk is \(1, 0\), expected a number from 1'),
        (dict(metric_list='mean_average_precision'), [[0]], 'which is of videos with several labels'),
        (dict(), [[0.0, 0.0]], 'none of the 1 scored videos has a label'),
        (dict(), [[1.0, 0.0, 0.0]], 'a video has 0 or 1 for 3 classes, and scores for 2'),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(arguments, labels, error):
    with pytest.raises(ValueError, match=error):
        evaluate(probable([[0.5, 0.5]], labels), **arguments)
    with pytest.raises(ValueError, match='num_classes is 1, expected 2 or more'):
        TimeSformerHead(1, 8)
