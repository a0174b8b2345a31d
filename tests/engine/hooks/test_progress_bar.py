"""The progress bar, on a real terminal."""

import os
import pty

import warm
from runs import ROOT, TINY, options, run_tool


def test_a_terminal_sees_the_time_left_and_a_file_does_not(motion, tmp_path):
    words = ['tools/train.py', TINY, *options(motion, max_epochs=1)]
    screen, terminal = pty.openpty()
    with open(terminal, 'wb') as out:
        run = warm.start([*words, f'work_dir={tmp_path / "seen"}'], ROOT, dict(os.environ), out)
    shown = b''
    try:
        while block := os.read(screen, 65536):
            shown += block
    except OSError:  # the other end is closed: the run has ended
        pass
    assert run.wait() == 0
    assert b'0/4' in shown
    assert b'left' in shown
    log = run_tool(*words, f'work_dir={tmp_path / "again"}')
    assert '0/4' not in log
    assert 'epoch 1/1  loss' in log
