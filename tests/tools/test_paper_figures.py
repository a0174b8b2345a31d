"""The paper's Figures 6 and 8, Table 2 and section 4.5, of runs and features at hand."""

import csv
import json
import pickle
import re
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmaction.structures import ActionDataSample
from runs import ROOT, TINY, run_tool

from mmtsf.apis import speed
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
    """Run a tool in this process, with one thread as others run: more add in another order; returns what it prints."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(tool: str, *words: object) -> str:
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, words)])
        try:
            runpy.run_path(str(ROOT / tool), run_name='__main__')
        except SystemExit as end:  # as commands do
            if end.code:
                raise
        return capsys.readouterr().out

    yield run
    torch.set_num_threads(threads)


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
    for row, results in zip(rows, tuple(scored), strict=True):
        views = {'view': f'{row["clips"]}x1'}
        dump = tmp_path / f'{row["clips"]}.pkl'
        alone = {'test_dataloader.batch_size': 1}  # the same shapes as in the tool, and so the same sums
        words = ['--work-dir', tmp_path / 'test', '--dump', dump, *options(motion, **SHORT, **views, **alone)]
        in_process('tools/test.py', TINY, checkpoint, *words)
        metrics = json.loads((tmp_path / 'test/metrics.json').read_text())
        assert {name: float(row[name]) for name in metrics} == pytest.approx(metrics, abs=1e-4)
        theirs = np.stack([one['pred_scores']['item'] for one in pickle.loads(dump.read_bytes())])
        scores.append(np.stack([result['pred']['item'] for result in results]))
        np.testing.assert_array_equal(scores[-1], theirs)
    assert all(np.abs(one - other).max() > 1e-3 for one, other in zip(scores, scores[1:]))


def test_a_config_that_a_run_leaves_writes_nothing_of_that_run_again_and_broken_videos_do_not_count(
    motion, tiny_checkpoint, in_process, monkeypatch, tmp_path
):
    """Its evaluators name neither the run's tables nor its dump."""
    data, work, elsewhere = tmp_path / 'data', tmp_path / 'work', tmp_path / 'elsewhere'
    for folder in (data, elsewhere):
        folder.mkdir()
    for number, label in enumerate(['left', 'right']):
        (data / f'{number}.mp4').symlink_to(motion / f'test/{label}/0000.mp4')
    (data / '2.mp4').write_bytes(b'no video')
    for split in ('train', 'val', 'test'):
        (data / f'{split}_list.txt').write_text('0.mp4 0\n1.mp4 1\n2.mp4 2\n')
    broken = {'data.skip_broken': True, 'data.source': 'list'}
    words = ['--work-dir', work, '--dump', work / 'dump.pkl', *options(data, **SHORT, **broken)]
    run_tool('tools/test.py', TINY, tiny_checkpoint, *words)
    left = work / Path(TINY).name
    assert (work / 'dump.pkl').is_file()
    assert not re.search('DumpResults|out_dir', left.read_text())
    before = {path: path.stat().st_mtime_ns for path in work.rglob('*')}
    monkeypatch.chdir(elsewhere)
    log = in_process(CLIPS, left, tiny_checkpoint, 'clips.png', '--clips', 1, 2)
    assert log.endswith('wrote clips.png and clips.csv: 2 videos\n')
    assert {path: path.stat().st_mtime_ns for path in work.rglob('*')} == before
    assert {path.name for path in elsewhere.iterdir()} == {'clips.png', 'clips.csv'}


@pytest.mark.parametrize(
    ('words', 'changes', 'told'),
    [
        (['--clips', 1, 1], {}, r'--clips is \[1, 1\], expected different numbers of at least 1'),
        ([], {'data.sampling': 'cover'}, 'as many as its length takes; give data.sampling=rate, in which --clips says'),
        (['--clips', 1], {'data.sampling': 'cover'}, 'as many as its length takes; give data.sampling=rate, in which'),
        ([], {'data.test_list': 'clips.csv', 'data.source': 'list'}, r"OUT's table is .*clips.csv, which is read and"),
    ],
)
def test_numbers_of_clips_and_names_that_mean_nothing_are_refused(
    words, changes, told, motion, tiny_checkpoint, in_process, refused, tmp_path
):
    (tmp_path / 'clips.csv').write_text('test/left/0000.mp4,0\n')
    if 'data.test_list' in changes:
        changes = changes | {'data.test_list': tmp_path / 'clips.csv'}
    with refused(told):
        in_process(CLIPS, TINY, tiny_checkpoint, tmp_path / 'clips.png', *words, *options(motion, **changes))


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


def test_every_file_of_features_has_its_panel(features, in_process, tmp_path):
    from safetensors.numpy import save_file

    names = features.with_suffix('.txt').read_text().splitlines()
    save_file(dict(zip(names, np.load(features))), tmp_path / 'two.safetensors')
    in_process(TSNE, tmp_path / 'one.png', features)
    in_process(TSNE, tmp_path / 'both.png', tmp_path / 'two.safetensors', features)  # in another order of videos
    one, both = (cv2.imread(str(tmp_path / f'{name}.png')) for name in ('one', 'both'))
    assert both.shape[1] > 1.5 * one.shape[1]


def few(folder: Path) -> None:
    np.save(folder / 'one.npy', np.zeros((3, 8)))
    (folder / 'one.txt').write_text('a/0.mp4\na/1.mp4\nb/2.mp4\n')


@pytest.mark.parametrize(
    ('change', 'told'),
    [
        (lambda folder: np.save(folder / 'one.npy', np.zeros((40, 2, 8))), r'expected \(C,\): --level video'),
        (lambda folder: np.save(folder / 'one.npy', np.full((40, 8), np.nan)), 'not finite; extract them with other'),
        (lambda folder: np.save(folder / 'one.npy', np.zeros((41, 8))), 'has 41 features of 40 names; extract them'),
        (few, 'one.npy has features of 3 videos, expected at least 4; extract features of more'),
        (lambda folder: (folder / 'list.txt').write_text('a/0.mp4 7\n'), '1.mp4 0 labels, expected one; give the list'),
        (lambda folder: (folder / 'one.txt').unlink(), 'one.txt does not exist; give the names of the videos'),
    ],
)
def test_features_without_a_class_each_are_refused(features, change, told, in_process, refused):
    change(features.parent)
    with refused(told):
        in_process(TSNE, features.parent / 'tsne.png', features, '--list', features.parent / 'list.txt')


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (
            ['--perplexity', 40],
            '--perplexity is 40, expected less than the number of videos, 40; leave it out, or give',
        ),
        (['--perplexity', 'inf'], '--perplexity is inf, expected less than the number of videos, 40'),
        (['--perplexity', 'nan'], '--perplexity is nan, expected more than 0'),
        (['--perplexity', 0], '--perplexity is 0.0, expected more than 0'),
        (['--seed', -1], '--seed is -1, expected a number from 0 to 4294967295'),
        (['--seed', 2**32], '--seed is 4294967296, expected a number from 0 to 4294967295'),
    ],
)
def test_numbers_that_t_sne_cannot_take_are_refused(features, words, told, in_process, refused):
    with refused(told):
        in_process(TSNE, features.parent / 'tsne.png', features, *words)


def test_points_of_one_folder_need_a_list_for_their_colours(features, in_process, refused):
    names = features.with_suffix('.txt')
    names.write_text(''.join(f'videos/{number}.mp4\n' for number in range(40)))
    with refused('all videos are of one folder, videos, and points are coloured by class; give --list, an annotation'):
        in_process(TSNE, features.parent / 'tsne.png', features)


def test_features_of_a_test_set_are_drawn(motion, tiny_checkpoint, tmp_path):
    pytest.importorskip('sklearn')
    out = tmp_path / 'features.parquet'
    pytest.importorskip('pyarrow')
    run_tool('tools/extract_features.py', motion / 'test', TINY, tiny_checkpoint, out)
    assert '12 videos of 4 classes' in run_tool(TSNE, tmp_path / 'tsne.png', out)


def test_hours_are_those_of_the_rate_with_decoding_and_without(motion, tiny_checkpoint):
    words = options(motion, **{'views.num_crops': 3, 'test_dataloader.batch_size': 5})
    log = run_tool('tools/analysis/inference_time.py', TINY, tiny_checkpoint, '--videos', 500, *words)
    assert '12 videos of 3 clips (views) in batches of 5; ' in log
    rates = []
    for name in ('decoding and model', 'model alone'):
        clips, videos, hours = map(float, re.search(rf'{name} +(\S+) +(\S+) +(\S+)', log).groups())
        assert clips == pytest.approx(3 * videos, rel=0.01)
        assert hours == pytest.approx(500 / videos / 3600, rel=0.01)
        rates.append(videos)
    assert rates[1] > rates[0]


@pytest.mark.parametrize(('limit', 'tested'), [(3, 5), (6, 10), (100, 12)])
def test_a_limit_tests_whole_batches(limit, tested, motion, tiny_checkpoint, in_process):
    words = options(motion, **{'test_dataloader.batch_size': 5, 'test_dataloader.num_workers': 0})
    log = in_process('tools/analysis/inference_time.py', TINY, tiny_checkpoint, '--limit', limit, *words)
    assert f'{tested} videos of 1 clips (views) in batches of 5; ' in log


def test_the_model_alone_is_timed_on_the_first_whole_batch(model):
    """The last one of a list is a part of a batch, at which a GPU idles."""
    timing = speed.Timing()
    clips = torch.zeros(1, 3, 8, 48, 48, dtype=torch.uint8)
    batches = [dict(inputs=[clips] * size, data_samples=[ActionDataSample()] * size) for size in (5, 5, 2)]
    assert speed.run(model, batches, 12, timing) is batches[0]
    assert (timing.videos, timing.clips) == (12, 12)


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
    words = f'training hours: {hours:.3g}\ntop-1: 66.7%\ninference TFLOPs: 0.587\nparameters: 121,566,352'
    assert words in log  # the paper: 0.59 of three views
    page = (tmp_path / 'report.html').read_text()
    assert f'<td class="n">{hours:.3g}<td class="n">66.7%<td class="n">0.587<td class="n">121,566,352' in page
