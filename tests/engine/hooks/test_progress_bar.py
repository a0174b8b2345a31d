"""The progress bar, on a real terminal."""

import os
import pty
import subprocess
import sys

from runs import ROOT, TINY, options


def test_a_terminal_sees_the_time_left_and_a_file_does_not(motion, tmp_path):
    command = [sys.executable, 'tools/train.py', TINY, '--work-dir', str(tmp_path), *options(motion, max_epochs=1)]
    screen, terminal = pty.openpty()
    process = subprocess.Popen(command, cwd=ROOT, stdout=terminal, stderr=terminal, close_fds=True)
    os.close(terminal)
    shown = b''
    try:
        while block := os.read(screen, 65536):
            shown += block
    except OSError:  # the other end is closed: the run has ended
        pass
    assert process.wait() == 0
    assert b'0/4' in shown
    assert b'left' in shown
    command[4] = str(tmp_path / 'again')
    log = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert '0/4' not in log
    assert 'Epoch(train) [1][4/4]' in log
