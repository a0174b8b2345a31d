"""What the page says of all classes together, and of which tests there is none."""

import argparse
import json

import pytest

from mmtsf.commands.report import check
from mmtsf.evaluation.report import by_class, measures_of


def test_the_page_tells_means_over_classes_and_the_calibration_that_the_test_found(tmp_path):
    rows = [dict(zip(('class', 'predicted'), pair)) for pair in ('aa', 'aa', 'ab', 'bb')]
    classes = by_class(rows)
    means = {'Mean class accuracy': '83.3%', 'macro F1': '0.733'}  # 2/3 and 1; 4/5 and 2/3
    assert measures_of(tmp_path, classes) == means
    (tmp_path / 'metrics.json').write_text(json.dumps({'acc/top1': 0.75, 'acc/ece': 0.123, 'acc/brier': 0.4}))
    found = {'expected calibration error': '12.3%', 'Brier score': '0.400'}
    assert measures_of(tmp_path, classes) == means | found


def test_of_several_labels_a_video_there_is_no_page(tmp_path):
    (tmp_path / 'per_class.csv').touch()
    with pytest.raises(ValueError, match='is of videos with several labels, of which there is no page; per_class.csv'):
        check(argparse.Namespace(work_dir=tmp_path, out=tmp_path / 'a.html', errors=5))
