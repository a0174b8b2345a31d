"""What the page says of all classes together, of one label a video and of several."""

import argparse
import json

import pytest
import torch

from mmtsf.commands.report import check, run
from mmtsf.evaluation import VideoAccuracy
from mmtsf.evaluation.report import by_class, measures_of


def test_the_page_tells_means_over_classes_and_the_calibration_that_the_test_found(tmp_path):
    rows = [dict(zip(('class', 'predicted'), pair)) for pair in ('aa', 'aa', 'ab', 'bb')]
    classes = by_class(rows)
    means = {'Mean class accuracy': '83.3%', 'macro F1': '0.733'}  # 2/3 and 1; 4/5 and 2/3
    assert measures_of(tmp_path, classes) == means
    (tmp_path / 'metrics.json').write_text(json.dumps({'acc/top1': 0.75, 'acc/ece': 0.123, 'acc/brier': 0.4}))
    found = {'expected calibration error': '12.3%', 'Brier score': '0.400'}
    assert measures_of(tmp_path, classes) == means | found


def test_of_several_labels_a_video_the_page_tells_average_precisions_and_calibration(tmp_path, capsys):
    work_dir, scores = tmp_path / 'test', [[0.9, 0.9, 0.1], [0.8, 0.1, 0.2], [0.7, 0.2, 0.9]]
    labels = [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    work_dir.mkdir()
    (work_dir / 'predictions.csv').write_text('of an earlier test')
    metric = VideoAccuracy(out_dir=str(work_dir))
    metric.dataset_meta = dict(classes=['a<b', 'bat', 'cat'])
    samples = [
        dict(pred_scores=dict(item=torch.tensor(row)), gt_labels=dict(item=torch.tensor(label)))
        for row, label in zip(scores, labels)
    ]
    metric.process(None, samples)
    (work_dir / 'metrics.json').write_text(json.dumps(metric.evaluate(3)))
    args = argparse.Namespace(work_dir=work_dir, out=tmp_path / 'a.html', errors=5)
    check(args)
    run(args)
    page = args.out.read_text()
    # the first class has its videos at ranks 1 and 3: (1/1 + 2/3) / 2; the second at rank 1, the third none
    words = ['2 classes with several labels a video.', 'Mean average precision <b>91.7%</b>', 'macro F1 <b>0.900</b>']
    words += ['expected calibration error <b>', 'Left out of means, without a test video: cat.']
    words += ['<td>a&lt;b', '<td class="n">83.3 %</tr>', '<td>bat', 'alt="reliability curve"']
    assert [page.index(word) for word in words] == sorted(page.index(word) for word in words)
    assert not [word for word in ('Confusion matrix', 'Wrong predictions') if word in page]
    assert 'a.html: 2 classes with several labels a video\n' in capsys.readouterr().out


def test_without_what_a_test_wrote_there_is_no_page(tmp_path):
    (tmp_path / 'per_class.csv').write_text('label,class,videos,correct,recall,precision,f1\n')  # of one label a video
    with pytest.raises(FileNotFoundError, match='predictions.csv does not exist; mmtsf test writes it'):
        check(argparse.Namespace(work_dir=tmp_path, out=tmp_path / 'a.html', errors=5))
