"""Results are whole at any moment, whatever stops the work."""

import csv
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from mmtsf.utils.results import growing_json, growing_table, stoppable
from mmtsf.utils.signals import exit_code, sigterm_as_ctrl_c, uninterrupted


def test_a_file_that_grows_is_whole_whenever_it_is_read(tmp_path):
    path, ended, read = tmp_path / 'all.json', threading.Event(), []

    def look() -> None:
        while not ended.is_set():
            read.append(len(json.loads(path.read_text())))

    with growing_json(path) as add:
        looks = threading.Thread(target=look)
        looks.start()
        for number in range(300):
            add(dict(video=f'{number}.mp4', scores=[0.1] * 1000))
        time.sleep(0.1)
        ended.set()
        looks.join()
    assert read == sorted(read)
    assert 0 < read[-1] <= 300
    assert [row['video'] for row in json.loads(path.read_text())] == [f'{number}.mp4' for number in range(300)]
    assert list(tmp_path.iterdir()) == [path]


def test_what_came_before_an_error_is_kept(tmp_path):
    def fail() -> None:
        files = tmp_path / 'all.jsonl', tmp_path / 'all.csv'
        with growing_json(files[0]) as add, growing_table(files[1], ['video', 'name']) as write:
            add('one')
            write([('one', '=1+1'), ('one', None)])
            raise OSError('disk')

    with pytest.raises(OSError, match='disk'):
        fail()
    assert (tmp_path / 'all.jsonl').read_text() == '"one"\n'
    assert list(csv.reader((tmp_path / 'all.csv').open())) == [['video', 'name'], ['one', "'=1+1"], ['one', '']]


def test_a_new_run_does_not_leave_results_of_the_last(tmp_path):
    Path(tmp_path, 'all.json').write_text('[1, 2, 3]')
    with growing_json(tmp_path / 'all.json'):
        assert json.loads((tmp_path / 'all.json').read_text()) == []


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_waits_for_what_belongs_together_and_then_says_how_many(number, code, capsys):
    done = []

    def work() -> None:
        with sigterm_as_ctrl_c(), stoppable(9, 'videos', 'go on') as is_done:
            for name in 'abc':
                with uninterrupted():
                    if name == 'b':
                        os.kill(os.getpid(), number)
                        time.sleep(0.01)
                    done.append(name)
                    is_done()

    with pytest.raises(KeyboardInterrupt) as stopped:
        work()
    assert done == ['a', 'b']
    assert exit_code(stopped.value) == code
    assert capsys.readouterr().err == '\nstopped: 2 of 9 videos are done; go on\n'
