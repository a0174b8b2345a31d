"""The paper's Figures 6 and 8, Table 2 and section 4.5, of runs and features at hand."""

import csv
import json
import pickle
import re
import runpy
import sys

import cv2
import numpy as np
import pytest
import torch
from runs import ROOT, TINY, run_tool

from mmtsf.datasets.transforms import OpenVideo
from mmtsf.evaluation import VideoAccuracy

CLIPS = 'tools/analysis/plot_temporal_clips.py'
TSNE = 'tools/analysis/plot_tsne.py'
#: Clips that are short, so that several of a video differ
SHORT = {'clip.frame_interval': 1, 'test_dataloader.num_workers': 0}


def options(motion, **changes) -> list[str]:
    changes = {'data.root': motion} | changes
    return ['--cfg-options', *(f'{key}={value}' for key, value in changes.items())]


@pytest.fixture
def checkpoint(model, tmp_path):
    """A model whose classes are far from equally likely."""
    torch.nn.init.normal_(model.cls_head.fc_cls.weight, std=3)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    return tmp_path / 'model.pth'


@pytest.fixture
def in_process(monkeypatch, capsys):
    """Run a tool in this process; returns what it prints."""

    def run(tool: str, *words: object) -> str:
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, words)])
        monkeypatch.syspath_prepend(str((ROOT / tool).parent))
        runpy.run_path(str(ROOT / tool), run_name='__main__')
        return capsys.readouterr().out

    return run


def test_scores_of_1_3_5_and_10_clips_are_those_of_testing_with_each(
    motion, checkpoint, in_process, monkeypatch, tmp_path
):
    scored, opened = [], []
    compute, opening = VideoAccuracy.compute_metrics, OpenVideo.open
    monkeypatch.setattr(VideoAccuracy, 'compute_metrics', lambda self, all: scored.append(all) or compute(self, all))
    monkeypatch.setattr(OpenVideo, 'open', lambda self, video: opened.append(video) or opening(self, video))
    in_process(
        CLIPS, TINY, checkpoint, tmp_path / 'clips.png', *options(motion, **SHORT, **{'test_dataloader.batch_size': 5})
    )
    assert len(opened) == len(set(opened)) == 12  # every video is decoded once
    rows = list(csv.DictReader((tmp_path / 'clips.csv').open()))
    assert [row['clips'] for row in rows] == ['1', '3', '5', '10']
    assert cv2.imread(str(tmp_path / 'clips.png')).std() > 10
    scores = []
    for row, results in zip(rows, scored, strict=True):
        views = {'view': f'{row["clips"]}x1'}
        dump = tmp_path / f'{row["clips"]}.pkl'
        words = ['--work-dir', tmp_path / 'test', '--dump', dump, *options(motion, **SHORT, **views)]
        run_tool('tools/test.py', TINY, checkpoint, *words)
        metrics = json.loads((tmp_path / 'test/metrics.json').read_text())
        assert {name: float(row[name]) for name in metrics} == pytest.approx(metrics, abs=1e-4)
        theirs = np.stack([one['pred_scores']['item'] for one in pickle.loads(dump.read_bytes())])
        scores.append(np.stack([result['pred']['item'] for result in results]))
        np.testing.assert_allclose(scores[-1], theirs, atol=1e-6)
    assert all(np.abs(one - other).max() > 1e-3 for one, other in zip(scores, scores[1:]))


def test_numbers_of_clips_that_mean_nothing_are_refused(motion, tiny_checkpoint, tmp_path):
    arguments = [CLIPS, TINY, tiny_checkpoint, tmp_path / 'clips.png']
    log = run_tool(*arguments, '--clips', 1, 1, fails=True)
    assert '--clips is [1, 1], expected different numbers of at least 1' in log
    log = run_tool(*arguments, *options(motion, **{'data.sampling': 'cover'}), fails=True)
    assert "but clips that cover a video (start='cover') are as many as its length takes" in log


@pytest.fixture
def features(tmp_path):
    """Features of 40 videos of two classes, far apart, and an annotation list of them."""
    pytest.importorskip('sklearn')
    rng = np.random.default_rng(0)
    names = [f'{"ab"[number % 2]}/{number}.mp4' for number in range(40)]
    values = rng.normal(size=(40, 8)).astype(np.float32) + 30 * (np.arange(40) % 2)[:, None]
    np.save(tmp_path / 'one.npy', values)
    (tmp_path / 'one.txt').write_text(''.join(f'{tmp_path}/{name}\n' for name in names))
    (tmp_path / 'list.txt').write_text(''.join(f'{name} {7 + number % 2}\n' for number, name in enumerate(names)))
    return tmp_path / 'one.npy'


@pytest.mark.parametrize(('words', 'classes'), [([], ['a', 'b']), (['--list', 'list.txt'], ['7', '8'])])
def test_points_of_a_class_lie_together_and_are_called_by_it(features, words, classes, in_process, monkeypatch):
    drawn = []
    monkeypatch.setattr('mmtsf.visualization.draw_points', lambda *arguments: drawn.append(arguments))
    monkeypatch.chdir(features.parent)
    log = in_process(TSNE, 'tsne.png', features, *words)
    assert '40 videos of 2 classes' in log
    ((panels, labels, _),) = drawn
    assert labels == classes * 20
    points = panels['one']
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    same = np.equal.outer(labels, labels)
    assert distances[same].max() < distances[~same].min()


def test_every_file_of_features_has_its_panel(features, tmp_path):
    from safetensors.numpy import save_file

    names = features.with_suffix('.txt').read_text().splitlines()
    save_file(dict(zip(names, np.load(features))), tmp_path / 'two.safetensors')
    run_tool(TSNE, tmp_path / 'one.png', features)
    run_tool(TSNE, tmp_path / 'both.png', tmp_path / 'two.safetensors', features)  # in another order of videos
    one, both = (cv2.imread(str(tmp_path / f'{name}.png')) for name in ('one', 'both'))
    assert both.shape[1] > 1.5 * one.shape[1]


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda folder: np.save(folder / 'one.npy', np.zeros((40, 2, 8))), r'expected \(C,\): --level video'),
        (lambda folder: (folder / 'list.txt').write_text('a/0.mp4 7\n'), '1.mp4 0 labels, expected one; give the list'),
        (lambda folder: (folder / 'one.txt').unlink(), 'one.txt does not exist; give the names of the videos'),
    ],
)
def test_features_without_a_class_each_are_refused(features, change, words, in_process):
    change(features.parent)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        in_process(TSNE, features.parent / 'tsne.png', features, '--list', features.parent / 'list.txt')


def test_features_of_a_test_set_are_drawn(motion, tiny_checkpoint, tmp_path):
    pytest.importorskip('sklearn')
    out = tmp_path / 'features.parquet'
    pytest.importorskip('pyarrow')
    run_tool('tools/extract_features.py', motion / 'test', TINY, tiny_checkpoint, out)
    assert '12 videos of 4 classes' in run_tool(TSNE, tmp_path / 'tsne.png', out)


def test_hours_are_those_of_the_rate_with_decoding_and_without(motion, tiny_checkpoint):
    words = options(motion, **{'views.num_crops': 3, 'test_dataloader.batch_size': 5})
    log = run_tool('tools/analysis/inference_time.py', TINY, tiny_checkpoint, '--videos', 500, *words)
    assert '12 videos of 3 clips (views); ' in log
    rates = []
    for name in ('decoding and model', 'model alone'):
        clips, videos, hours = map(float, re.search(rf'{name} +(\S+) +(\S+) +(\S+)', log).groups())
        assert clips == pytest.approx(3 * videos, rel=0.01)
        assert hours == pytest.approx(500 / videos / 3600, rel=0.01)
        rates.append(videos)
    assert rates[1] > rates[0]
    log = run_tool('tools/analysis/inference_time.py', TINY, tiny_checkpoint, '--limit', 6, *words)
    assert '10 videos of 3 clips (views); ' in log  # whole batches


def logged(folder, name: str, processes: int, rows: list[tuple[int, float]]) -> None:
    """A run's logs as MMEngine writes them."""
    (folder / name / 'vis_data').mkdir(parents=True)
    (folder / name / f'{name}.log').write_text(f'Runtime environment:\n    GPU number: {processes}\n')
    lines = [json.dumps({'iter': number, 'loss': 1.0, 'time': seconds}) for number, seconds in rows]
    lines.insert(1, json.dumps({'acc/top1': 0.5, 'time': 1000.0, 'step': 1}))  # of a validation
    (folder / name / 'vis_data/scalars.json').write_text('\n'.join(lines))


def test_a_run_has_the_columns_of_table_2(tmp_path):
    """It was resumed after 40 of 60 iterations, with fewer processes."""
    logged(tmp_path, '20260101_000000', 4, [(20, 9.0), (40, 18.0)])
    logged(tmp_path, '20260102_000000', 2, [(60, 36.0)])
    logged(tmp_path, '20260103_000000', 1, [])  # of the test
    config = f"_base_ = '{ROOT}/configs/timesformer_base_k400.py'\nstart = None\n"
    (tmp_path / '20260103_000000/vis_data/config.py').write_text(config)
    rows = [['v.mp4', 'a', name, '0.9', '0.9'] for name in 'aab']
    with (tmp_path / 'predictions.csv').open('w', newline='') as file:
        csv.writer(file).writerows([['video', 'class', 'predicted', 'score', 'score_of_class'], *rows])
    log = run_tool('tools/analysis/analyze_results.py', tmp_path, tmp_path / 'report.html')
    hours = (4 * (20 * 9 + 20 * 18) + 2 * 60 * 36) / 3600
    assert f'| {hours:.3g} | 66.7% | 0.587 | 121,566,352 |' in log  # the paper: 0.59 of three views
    page = (tmp_path / 'report.html').read_text()
    assert f'<td class="n">{hours:.3g}<td class="n">66.7%<td class="n">0.587<td class="n">121,566,352' in page
