"""The benchmarks run at toy sizes, and compute what they say of figures."""

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
import torch
import warm
from runs import ROOT, run_tool

from mmtsf.datasets.decoders import open_video

#: Of gpu.md, 27 November 2026: one H100, batch 64
FIGURES = {
    ('product', 'torch.mm'): 776,
    ('training base', 'ours'): 225.5,
    ('training base', 'Hugging Face'): 127.5,
    ('training base', 'Hugging Face, compiled'): 210,
    ('training base', 'MMAction2'): 113.1,
    ('memory base', 'ours'): 47.2,
    ('inference base', 'ours'): 749,
    ('inference base', 'Hugging Face'): 463,
}


@pytest.fixture
def benchmark(monkeypatch):
    """Import a module of the benchmarks."""
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    return importlib.import_module


def goal(benchmark, name: str):
    return next(goal for goal in benchmark('goals').GOALS if goal.name == name)


@pytest.mark.parametrize(
    ('name', 'value', 'verdict'),
    [
        ('training base, of the product', 0.341, 'at least 50.0%: missed'),
        ('training base, Hugging Face as it comes', 1.769, 'at least 2.7 x: missed'),
        ('memory, training base, batch 64', 47.2, 'at most 36 GB: missed'),
        ('inference base, Hugging Face', 1.618, 'at least 2 x: missed'),
    ],
)
def test_goals_are_the_ratios_of_the_figures(benchmark, name, value, verdict):
    assert goal(benchmark, name).value(FIGURES) == pytest.approx(value, abs=1e-3)
    assert goal(benchmark, name).verdict(value) == verdict
    assert 'reached' in goal(benchmark, name).verdict(0.1 if 'most' in verdict else 1e4)


def test_a_goal_waits_for_all_its_figures_and_a_peer_that_failed_counts_for_nothing(benchmark):
    best = goal(benchmark, 'training base, the best peer at its best')
    assert best.value(FIGURES) is None
    assert best.value(FIGURES, is_last=True) == pytest.approx(225.5 / 210)
    assert best.value({**FIGURES, ('training base', 'MMAction2, compiled'): None}) == pytest.approx(225.5 / 210)
    loop = {('from files', 'ours'): 270, ('training base', 'ours'): 340, ('decoding', 'all cores'): 290}
    assert goal(benchmark, "from files, of the model's rate or the decoders'").value(loop) == pytest.approx(270 / 290)


def test_costs_are_those_of_the_zoo(benchmark):
    zoo = (ROOT / 'docs/zoo.md').read_text()
    for variant, macs in benchmark('goals').MACS.items():
        row = re.search(rf'^.*/timesformer_{variant}_k400\.py\).*$', zoo, re.MULTILINE)[0]
        assert f'/ {macs / 1e9:.1f} |' in row


def test_the_floor_takes_the_fastest_library_for_each_product_of_the_layers(benchmark):
    module = benchmark('implementations')
    floor = module.Floor('divided', 2, 32, torch.float32, backward=True)
    shapes = module.Floor.shapes('divided', 2, 32, backward=False)
    assert (9, 768, 3072) in shapes  # 2 x 2 x 2 patches and the classification token
    assert len(floor.products) == 3 * len(shapes)
    assert set(floor.best) == {shape for m, k, n in shapes for shape in ((m, k, n), (m, n, k), (n, m, k))}
    assert re.search(r'(torch\.mm|oneDNN) \d+%', floor.libraries())


@pytest.mark.parametrize('is_transposed', [False, True])
def test_each_library_of_the_floor_computes_the_product(benchmark, is_transposed):
    module = benchmark('implementations')
    x, weight = torch.randn(5, 8), module.operand(6, 8, torch.float32, is_transposed)
    for product in module.LIBRARIES.values():
        torch.testing.assert_close(product(x, weight), x @ weight.T)


def test_attention_compares_the_kernels_of_a_gpu():
    lines = run_tool('benchmarks/attention.py', '--tiny').splitlines()
    rows = [line.strip('| ').split('|') for line in lines if re.match(r'\| \w[\w ]*: \d+ x', line)]
    assert len(rows) == 6
    assert all(re.fullmatch(r' \d+\.\d\d ', row[1]) for row in rows)  # ours


@pytest.mark.long
def test_all_measurements_of_a_gpu_run_from_a_checkout_that_is_not_installed_without_decord(tmp_path):
    (tmp_path / 'decord.py').write_text("raise ModuleNotFoundError('decord')\n")
    path = os.pathsep.join([str(tmp_path), sysconfig.get_path('purelib')])
    environment = dict(os.environ, PYTHONPATH=path, PYTHON=warm.python(), OMP_NUM_THREADS='1')
    # -S: a package that is installed from its checkout is not found
    command = [sys.executable, '-S', ROOT / 'benchmarks/gpu.py', '--device', 'cpu', '--tiny', '--json', 'rows.json']
    command += ['--minutes', '6']
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400)
    assert result.returncode == 0, result.stderr[-3000:]
    rows = json.loads(Path(tmp_path, 'rows.json').read_text())
    failed = {row['measured'] for row in rows if 'measured' in row and row['figure'] is None}
    assert failed == {'memory base'}, result.stdout  # of a GPU
    measured = {(row['measured'], row['of']) for row in rows if 'measured' in row}
    assert {('training base', 'MMAction2, compiled'), ('from files', 'ours'), ('checkpoints', 'ours')} <= measured
    assert '*goal: inference base, Hugging Face*' in result.stdout


def test_a_batch_that_does_not_fit_is_halved_and_stays_so(benchmark, monkeypatch):
    module = benchmark('gpu_models')
    step = module.train_step

    def with_memory_for_one(model, optimizer, clips):
        if len(clips) > 1:
            raise torch.OutOfMemoryError
        return step(model, optimizer, clips)

    monkeypatch.setattr(module, 'train_step', with_memory_for_one)
    rows = list(module.training('hr', 'MMAction2', tiny()))
    assert [(row.of, row.batch) for row in rows] == [('MMAction2', 1), ('MMAction2, compiled', 1)]
    assert all(row.figure > 0 for row in rows)


def tiny(**more) -> argparse.Namespace:
    return argparse.Namespace(device='cpu', tiny=True, references={}, **more)


def test_ours_with_another_batch_than_its_peers_counts_for_its_memory_alone(benchmark):
    rows = list(benchmark('gpu_models').training('base', 'ours', tiny()))
    names = ['training base', 'training base, batch 3', 'memory base']
    assert [(row.measured, row.batch) for row in rows] == list(zip(names, (2, 3, 3)))
    table = benchmark('gpu').Table(None, {})
    table.add(benchmark('gpu_models').Row('product', 'torch.mm', 700.0, 'TFLOP/s'))
    for row, rate in zip(rows[:2], (100.0, 200.0)):
        row.figure = rate
        table.add(row)
    assert table.figures['training base', 'ours'] == 100
    assert [row['measured'] for row in table.rows if row.get('share_of_product')] == names[:2]


def test_a_training_from_files_ends_when_the_time_of_all_is_over(benchmark, tmp_path):
    (tmp_path / 'train_list.txt').write_text('')
    start = time.monotonic()
    run = benchmark('gpu_loop').loop(tmp_path, tmp_path / 'cache', tiny(deadline=start + 0.5))
    (row,) = benchmark('gpu_models').attempt(run, 'from files', 'ours')
    assert (row.measured, row.figure, row.note) == ('from files', None, 'out of time')
    assert time.monotonic() - start < 30


def test_a_file_in_a_folder_that_there_is_not_is_refused_at_once(tmp_path):
    file = tmp_path / 'none/rows.json'
    text = run_tool('benchmarks/gpu.py', '--device', 'cpu', '--tiny', '--json', file, fails=True)
    assert re.search('--json is .*rows.json.*, expected a file in a folder that there is', text)
    assert 'measured' not in text


def test_what_there_is_no_time_for_is_told_with_its_goals(benchmark):
    text = run_tool('benchmarks/gpu.py', '--device', 'cpu', '--tiny', '--minutes', 0)
    assert re.search(r'^\| from_files \|.* not measured \|.* out of time \|$', text, re.MULTILINE)
    goals = [line for line in text.splitlines() if 'goal' in line]
    assert len(goals) == len(benchmark('goals').GOALS)
    assert all('| not measured |' in line for line in goals)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
@pytest.mark.parametrize('script', ['benchmarks/gpu.py', 'benchmarks/attention.py'])
def test_without_a_gpu_a_script_for_one_says_how_to_try_it(script):
    text = run_tool(script, '--device', 'cuda', fails=True)
    assert re.search('--device cuda needs a GPU, and there is none; .*--tiny', text)


def test_videos_are_made_of_moving_textures_where_no_real_ones_are(benchmark, monkeypatch, tmp_path):
    module = benchmark('gpu_loop')
    monkeypatch.setattr(module, 'FIGHTS', tmp_path / 'none')
    module.write_clip(tmp_path, module.Sizes(frames=40), (340, 256), 3)
    video = open_video(str(tmp_path / '003.mp4'))
    assert video.num_frames == 40
    first, last = video.read([0, 39]).astype(int)
    assert first.shape == (256, 340, 3)
    assert abs(first - last).mean() > 10  # it moves
    assert first.std() > 20


def test_the_real_loop_refuses_iterations_that_leave_nothing_to_measure():
    words = ('benchmarks/train.py', 'configs/timesformer_tiny_motion.py', '--iters', 5)
    assert 'leaves nothing to measure' in run_tool(*words, '--warm-up', 5, fails=True)
    assert 'is not within the 2 that count' in run_tool(*words, '--warm-up', 3, '--checkpoint', 2, fails=True)


@pytest.mark.gpu
def test_the_base_model_trains_faster_than_hugging_faces_on_a_gpu(tmp_path):
    file = tmp_path / 'rows.json'
    run_tool('benchmarks/gpu.py', '--only', 'base', '--minutes', 1, '--json', file)
    rows = {(row['measured'], row['of']): row for row in json.loads(file.read_text()) if 'measured' in row}
    assert rows['training base', 'ours']['figure'] > rows['training base', 'Hugging Face']['figure']
    assert rows['memory base', 'ours']['figure'] > 0


@pytest.mark.gpu
def test_attention_on_a_gpu_is_timed_by_each_kernel():
    rows = [
        line.strip('| ').split(' | ') for line in run_tool('benchmarks/attention.py', '--device', 'cuda').splitlines()
    ]
    (short,) = (row for row in rows if row[0] == 'time: 6272 x 8')
    assert all(short), short  # PyTorch's backends and ours
