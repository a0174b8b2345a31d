"""The quickstart keeps to its minutes, and ends with commands that work."""

import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.optim import OneCycleLR
from runs import run_tool
from torch import nn
from torch.optim import SGD

from mmtsf.engine import quickstart


def test_a_quickstart_leaves_results_of_a_start_and_commands_that_work(motion, tiny_checkpoint, tmp_path):
    out = tmp_path / 'out'
    words = ['--data', motion, '--start', tiny_checkpoint, '--minutes', 0.2, '--out', out]
    said = run_tool('tools/quickstart.py', *words)
    assert said.startswith('this takes about 0.2 minutes')
    assert f'start: {tiny_checkpoint}' in said
    plan = r'plan: up to \d+ epochs on 32 videos: [\d.]+ minutes to train, [\d.]+ minutes to test and draw'
    assert re.search(plan, said)
    assert re.search(r'top-1 on 12 held-out videos: divided [\d.]+%, chance 25.0%; [\d.]+ minutes', said)
    pictures = ('curves.png', 'confusion_matrix.png', 'attention.png')
    assert all((out / name).is_file() for name in (*pictures, 'per_class.csv', 'report.html', 'report.txt'))
    config = (out / 'config.py').read_text()
    assert f'start = {str(tiny_checkpoint)!r}' in config
    assert "'embed_dims': 64" in config
    commands = [shlex.split(line) for line in said.partition('next:\n')[2].splitlines()]
    commands = [words[words.index('mmtsf') + 1 :] if 'mmtsf' in words else words[1:] for words in commands]
    assert [words[0] for words in commands] == ['predict', 'attention', 'demo', 'train']
    assert 'left' in run_tool('-m', 'mmtsf', *commands[0])
    assert all(Path(word).is_file() for word in commands[2][1:])


@pytest.mark.parametrize('slower', [1, 10], ids=['as planned', 'a machine that gets slower'])
def test_a_training_ends_in_time_with_its_schedule_done(slower, monkeypatch):
    now, total = 0.0, 100
    monkeypatch.setattr(quickstart.time, 'monotonic', lambda: now)
    monkeypatch.setattr(quickstart, 'say', lambda text: None)
    optimizer = SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    schedule = OneCycleLR(optimizer, eta_max=1.0, total_steps=total, by_epoch=False)
    stopped = []
    runner = SimpleNamespace(
        iter=0,
        max_iters=total,
        param_schedulers=[schedule],
        optim_wrapper=SimpleNamespace(should_update=lambda: True),
        train_loop=SimpleNamespace(stop=lambda: stopped.append(True)),
    )
    budget = quickstart.Budget(end=200, setup=10, video=1.0, videos=20)
    limit = quickstart.TimeLimit(budget, end=150)
    limit.before_train(runner)
    while runner.iter < total and not stopped:
        rate = optimizer.param_groups[0]['lr']
        now += 1 if runner.iter < 50 else slower
        optimizer.step()
        schedule.step()
        limit.after_train_iter(runner, runner.iter)
        runner.iter += 1
    assert bool(stopped) == (slower > 1)
    assert now <= 150 - budget.testing
    assert rate < 0.05  # of 1.0, in the last update


def test_a_start_that_does_not_exist_and_one_without_data_are_refused(refused, motion, tmp_path):
    from mmtsf.commands import run

    with refused('the checkpoint none.pth does not exist'):
        run('quickstart', ['--data', str(motion), '--start', 'none.pth', '--out', str(tmp_path)])
    with refused('--start is for --data'):
        run('quickstart', ['--start', 'none.pth', '--out', str(tmp_path)])
