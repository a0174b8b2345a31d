"""The study of starts, on images and videos that are made here."""

import gzip
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from runs import ROOT
from videos import write_greys

from mmtsf.utils.tables import read_table

STUDY = ROOT / 'tools/study'


@pytest.fixture(autouse=True)
def modules_of_the_study(monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY))
    yield
    for name in ('grid', 'report', 'in_memory'):
        sys.modules.pop(name, None)


@pytest.fixture
def words(tmp_path) -> list[str]:
    """Arguments of a study of seconds."""
    numbers = np.random.default_rng(0)
    for part, count in (('train', 32), ('t10k', 8)):
        pixels = numbers.integers(0, 256, 16 + count * 28 * 28, np.uint8).tobytes()
        (tmp_path / f'{part}-images-idx3-ubyte.gz').write_bytes(gzip.compress(pixels))
        (tmp_path / f'{part}-labels-idx1-ubyte.gz').write_bytes(
            gzip.compress(bytes(8) + bytes(range(8)) * (count // 8))
        )
    for part in ('train', 'test'):
        videos = [Path(write_greys(tmp_path / f'{part}_{number}.mp4', 8, 48, 64)) for number in range(4)]
        rows = [f'{video.name} {number % 2}\n' for number, video in enumerate(videos)]
        (tmp_path / f'{part}.txt').write_text(''.join(rows))
    data = f'greys={tmp_path}/train.txt,{tmp_path}/test.txt,1'
    return [str(tmp_path / 'out'), '--data', data, '--images', str(tmp_path), '--image-epochs', '1', '--seeds', '1']


def study(monkeypatch, *words: str) -> None:
    monkeypatch.setattr(sys, 'argv', ['starts.py', *words, '--processes', '1'])
    runpy.run_path(str(STUDY / 'starts.py'), run_name='study')['main']()


def test_a_study_of_starts_that_was_interrupted_goes_on(words, monkeypatch):
    out = Path(words[0])
    words += ['--schemes', 'divided']
    study(monkeypatch, *words)
    rows = read_table(out / 'starts.csv')
    assert rows[0]['data'] == 'fashion-mnist'
    assert len(rows) == 1 + 5
    lines = (out / 'starts.csv').read_text().splitlines(keepends=True)
    (out / 'starts.csv').write_text(''.join(lines[:-1]))
    study(monkeypatch, *words)
    again = (out / 'starts.csv').read_text().splitlines(keepends=True)
    assert again[:-1] == lines[:-1]
    assert again[-1].split(',')[:7] == lines[-1].split(',')[:7]  # what is run again has the same result
    assert 'an image start helps where all weights learn' in (out / 'report.md').read_text()
    assert (out / 'greys_1_epochs.png').exists()


def test_the_page_shows_what_was_measured_of_starts():
    names = runpy.run_path(str(STUDY / 'starts.py'), run_name='study')
    page = (ROOT / 'docs/study.md').read_text()
    results = names['read'](ROOT / 'docs/study/starts.csv')
    assert len(results) > 1
    for data, columns in results.items():
        if not data.startswith('fashion-mnist'):
            assert '\n'.join(names['table']('scheme', columns, {})) in page
            assert '\n'.join(names['answers'](columns)) in page
