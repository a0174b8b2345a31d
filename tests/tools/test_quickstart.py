"""The quickstart keeps to its minutes, and ends with commands that work."""

import re
import time

import pytest
from runs import run_tool


@pytest.mark.parametrize('own', [True, False], ids=['own videos', 'generated videos'])
def test_a_quickstart_keeps_to_its_minutes(own, motion, tmp_path):
    words = ['--data', motion] if own else ['--videos', 8, 2, 3]
    begun = time.monotonic()
    out = run_tool('tools/quickstart.py', *words, '--minutes', 1, '--out', tmp_path / 'out')
    took = (time.monotonic() - begun) / 60
    assert out.startswith('this takes 1 minutes at most')
    is_slow = 'are too short' in out or ' videos of 32' in out  # the machine
    assert took < 1.2 or is_slow
    epochs = int(re.search(r'plan: (\d+) epochs on \d+ videos', out)[1])
    assert epochs > 1 or is_slow
    assert ('space-only' in out) == (not own)
    assert re.search(r'top-1 on 12 held-out videos: divided [\d.]+%', out)
    for name in ('confusion_matrix.png', 'per_class.csv', 'attention.png', 'report.txt', 'config.py'):
        assert (tmp_path / 'out' / name).is_file()
    assert (tmp_path / 'out/curves.png').is_file() or is_slow
    commands = [line.split() for line in out.partition('next:\n')[2].splitlines()]
    assert [words[words.index('mmtsf') + 1 if 'mmtsf' in words else 1] for words in commands] == [
        'predict',
        'attention',
        'demo',
        'train',
    ]
    predict = commands[0][commands[0].index('predict') :]
    assert 'left' in run_tool('-m', 'mmtsf', *predict)


def test_a_start_that_does_not_exist_and_one_without_data_are_refused(refused, motion, tmp_path):
    from mmtsf.commands import run

    with refused('the checkpoint none.pth does not exist'):
        run('quickstart', ['--data', str(motion), '--start', 'none.pth', '--out', str(tmp_path)])
    with refused('--start is for --data'):
        run('quickstart', ['--start', 'none.pth', '--out', str(tmp_path)])


def test_a_start_is_taken_with_its_own_geometry(motion, tiny_checkpoint, tmp_path):
    words = ['--data', motion, '--start', tiny_checkpoint, '--minutes', 1, '--epochs', 1]
    out = run_tool('tools/quickstart.py', *words, '--out', tmp_path / 'out')
    assert f'start: {tiny_checkpoint}' in out
    config = (tmp_path / 'out/config.py').read_text()
    assert "recipe = 'small'" in config
    assert f'start = {str(tiny_checkpoint)!r}' in config
    assert "'embed_dims': 64" in config
