"""The study in one command."""

import csv
import runpy
import sys

import pytest
from runs import ROOT, run_tool

STUDY = ROOT / 'tools/study'


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY))
    yield runpy.run_path(str(STUDY / 'report.py'))
    sys.modules.pop('report', None)


def results(path, *rows):
    with (path / 'results.csv').open('w', newline='') as file:
        csv.writer(file).writerows([('study', 'value', 'data', 'seed', 'top1'), *rows])


def test_the_report_has_mean_and_spread_of_the_seeds(report, tmp_path):
    results(
        tmp_path,
        ('scheme', 'space', 'motion', 0, 0.2),
        ('scheme', 'space', 'motion', 1, 0.3),
        ('scheme', 'divided', 'motion', 0, 0.9),
        ('scheme', 'divided', 'motion', 1, 1.0),
        ('frames', '8', 'motion', 0, 0.5),
    )
    report['write_report'](tmp_path)
    text = (tmp_path / 'report.md').read_text()
    assert '| space | 25.0% (20.0% to 30.0%) | 76.9, 36.6 |' in text
    assert '| divided | 95.0% (90.0% to 100.0%) | 78.0, 59.5 |' in text
    assert '| 8 | 50.0% (50.0% to 50.0%) |' in text
    assert {path.name for path in tmp_path.glob('*.png')} == {'scheme.png', 'frames.png'}


def test_a_pair_of_the_papers_ranking_is_seen_only_if_no_seed_says_otherwise(report, tmp_path):
    """On SSv2: divided, joint, local-global, axial, space; on K400: divided, joint, space, local-global, axial."""
    tops = {'divided': (0.9, 1.0), 'joint': (0.95, 0.96), 'space': (0.2, 0.3), 'axial': (0.3, 0.8)}
    results(
        tmp_path,
        *(('scheme', name, 'motion', seed, top) for name, seeds in tops.items() for seed, top in enumerate(seeds)),
        *(('scheme', name, 'patterns', 0, top) for name, top in zip(tops, (1.0, 0.7, 0.9, 0.8))),
    )
    report['write_report'](tmp_path)
    text = (tmp_path / 'report.md').read_text()
    assert (
        "motion, the paper's ranking on SSv2: seen: divided > axial, divided > space, joint > axial, joint > space; "
        'within the spread: divided > joint, axial > space.'
    ) in text
    assert (
        "patterns, the paper's ranking on K400: seen: divided > joint, divided > space, divided > axial, "
        'space > axial; the opposite: joint > space, joint > axial.'
    ) in text


def test_runs_are_five_schemes_on_every_data_set_and_one_change_at_a_time_on_the_first():
    grid = runpy.run_path(str(STUDY / 'grid.py'))
    runs = list(grid['all_runs'](['motion', 'patterns']))
    schemes = [run for run in runs if run.study == 'scheme']
    assert len(schemes) == 5 * 3 * 2
    assert {run.data for run in runs if run.study != 'scheme'} == {'motion'}
    plain = [run for run in runs if run.value in ('divided', 'space-time', 'time first', '8', '48', '100%')]
    assert len({run.name for run in plain if run.data == 'motion' and run.seed == 0}) == 1  # done once
    names = {run.name: (run.data, run.share, run.seed, str(sorted(run.options.items()))) for run in runs}
    assert len(set(names.values())) == len(names)


@pytest.mark.long
def test_a_study_that_was_interrupted_goes_on(tmp_path):
    words = ['tools/study/study.py', tmp_path, '--only', 'training videos', '--seeds', 1, '--epochs', 1]
    run_tool(*words, '--videos', 8, 1, 2)
    rows = (tmp_path / 'results.csv').read_text()
    assert len(rows.splitlines()) == 1 + 3
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob('runs/*/result.json')}
    assert len(done) == 3
    next(iter(done)).unlink()
    run_tool(*words, '--videos', 8, 1, 2)
    assert len((tmp_path / 'results.csv').read_text().splitlines()) == 4
    assert sum(path.stat().st_mtime_ns == time for path, time in done.items()) == 2
    assert not list(tmp_path.rglob('*.pth'))


def test_costs_are_those_of_the_paper_where_it_gives_them():
    gigamacs = runpy.run_path(str(STUDY / 'costs.py'))['gigamacs']
    assert gigamacs('divided', 8, 224) == pytest.approx(196, rel=0.01)
    assert gigamacs('divided', 96, 224) == pytest.approx(2380, rel=0.01)
    assert gigamacs('joint', 8, 448) > gigamacs('divided', 8, 448)


def test_the_page_shows_what_was_measured(report):
    page = (ROOT / 'docs/study.md').read_text()
    studies = report['read'](ROOT / 'docs/study/results.csv')
    assert len(studies) == 7
    for study, columns in studies.items():
        assert '\n'.join(report['table'](study, columns)) in page
