"""The page of models is what the index and the configs say, and they say what the paper says."""

import re

import pytest
import yaml
from runs import ROOT, run_tool

from mmtsf.utils.sources import MODEL_INDEX

PAGE = ROOT / 'docs/zoo.md'
CLASSIFIER = 768 + 1  # parameters a class
#: Parameters in millions, with 174 classes (Table 1), and multiply-accumulates in G (Table 5, divided by 3 views)
PAPER = {
    'base': (121.4, 196),
    'hr': (None, 1703),
    'l': (None, 2380),
    'space': (85.9, None),
    'joint': (85.9, None),
    'local_global': (121.4, None),
    'axial': (156.8, None),
}


@pytest.mark.long  # 18 s
def test_the_page_is_what_the_tool_writes(tmp_path):
    run_tool('tools/analysis/make_zoo.py', tmp_path / 'zoo.md')
    assert (tmp_path / 'zoo.md').read_text() == PAGE.read_text(), 'run python tools/analysis/make_zoo.py'


@pytest.mark.parametrize('name', PAPER)
def test_costs_on_the_page_are_the_papers(name):
    row = re.search(rf'^\| \[`timesformer_{name}_k400.py`\].*$', PAGE.read_text(), re.MULTILINE)[0].split(' | ')
    params, macs = int(row[2].replace(',', '')), float(row[3].split(' / ')[-1])
    paper_params, paper_macs = PAPER[name]
    if paper_params is not None:
        assert round((params - (400 - 174) * CLASSIFIER) / 1e6, 1) == paper_params
    if paper_macs is not None:
        assert macs == pytest.approx(paper_macs, rel=0.01)
        assert row[3].startswith(f'{paper_macs} / ')


def test_memory_on_the_page_was_measured():
    about = [model.get('Metadata', {}) for model in yaml.safe_load(MODEL_INDEX.read_text())['Models']]
    measured = [one for one in about if 'Memory' in one]
    assert measured
    for one in measured:
        for megabytes in re.findall(r'(\d+) MB', one['Memory']):
            assert f'**{megabytes}**' in (ROOT / one['Benchmark']).read_text()
