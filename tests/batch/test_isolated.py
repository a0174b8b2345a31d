"""A video that crashes, hangs or fills the memory costs itself; no process outlives whoever asked for it."""

import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from pathlib import Path

import pytest
import torch

from mmtsf.batch.isolated import ALONE, IsolatedCalls
from mmtsf.batch.job import Result
from mmtsf.datasets.decoders import BrokenVideoError


def prepare(video: str) -> object:
    """What the name of a video asks for."""
    kind, _, rest = video.partition(' ')
    if kind == 'crash':
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == 'once' and not Path(rest).exists():
        Path(rest).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == 'hang':
        Path(rest or os.devnull).write_text(str(os.getpid()))
        time.sleep(3600)
    if kind == 'broken':
        raise BrokenVideoError(video, 'no video')
    if kind == 'large':
        raise MemoryError
    if kind == 'wrong':
        raise KeyError(video)
    if kind == 'exit':
        sys.exit(3)
    return dict(inputs=torch.arange(4.0), half=torch.ones(2, dtype=torch.bfloat16), video=video)


def results_of(videos: list[str], workers: int = 2, in_order: bool = False, **how) -> list[Result]:
    with closing(IsolatedCalls(prepare, workers, **how)) as calls:
        return list(calls.run(videos, in_order))


@pytest.mark.parametrize('in_order', [False, True])
def test_each_video_costs_itself_and_all_others_come(in_order):
    videos = ['good', 'crash', 'good', 'hang', 'large', 'broken', 'crash', *['good'] * 20]
    found = results_of(videos, in_order=in_order, time_limit=1)
    places = [result.place for result in found]
    assert sorted(places) == list(range(27))
    assert not in_order or places == list(range(27))
    reasons = {result.place: result.reason for result in found if result.reason}
    killed = 'the process that read it was killed by signal 9'
    late = 'it could not be read within 1 s'
    assert reasons == {1: killed, 3: late, 4: 'it takes more memory than there is', 5: 'no video', 6: killed}
    good = next(result.value for result in found if result.place == 26)
    assert good['inputs'].equal(torch.arange(4.0))
    assert good['half'].equal(torch.ones(2, dtype=torch.bfloat16))


def test_a_video_whose_process_was_killed_from_outside_is_read_once_more(tmp_path):
    (result,) = results_of([f'once {tmp_path / "met"}'])
    assert result.reason == ''
    assert result.value['video'].startswith('once')


def test_how_a_process_ended_is_told_also_where_it_died_before_the_pool_knew_that_it_had_begun():
    with closing(IsolatedCalls(prepare, 1)) as calls:
        (unknown := Future()).set_exception(BrokenProcessPool('All workers expired'))
        assert calls._outcome('crash', unknown, 1) == (None, 'the process that read it was killed by signal 9')
        (unknown := Future()).set_exception(BrokenProcessPool('All workers expired'))
        assert calls._outcome('good', unknown, ALONE) == (None, 'the process that read it has died')


def test_processes_that_are_killed_while_they_wait_cost_nothing(tmp_path):
    with closing(IsolatedCalls(prepare, 2)) as calls:
        assert len(list(calls.run(['good'] * 4))) == 4
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.2)
        assert [result.reason for result in calls.run(['good'] * 4)] == [''] * 4


def test_a_fault_of_the_work_ends_it_with_where_it_comes_from(capfd):
    for video, named in (('wrong', "KeyError: 'wrong'"), ('exit', 'SystemExit: 3')):
        with pytest.raises(RuntimeError, match=f'the work on {video} failed, see above: {named}'):
            results_of(['good', video])
    assert 'test_isolated.py' in capfd.readouterr().err


def test_few_results_wait_whatever_the_number_of_videos():
    asked = []

    def videos():
        for number in range(1000):
            asked.append(number)
            yield 'good'

    with closing(IsolatedCalls(prepare, 2)) as calls:
        found = calls.run(videos())
        next(found)
        time.sleep(0.2)
        assert len(asked) < 8
        found.close()


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_process_outlives_whoever_asked_for_it(number, tmp_path):
    def work() -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        with suppress(KeyboardInterrupt):
            results_of([f'hang {tmp_path / "first"}', f'hang {tmp_path / "second"}'])

    parent = multiprocessing.get_context('fork').Process(target=work)
    parent.start()
    files = [tmp_path / 'first', tmp_path / 'second']
    wait_until(lambda: all(file.exists() and file.read_text() for file in files))
    os.kill(parent.pid, number)
    parent.join(100)
    assert parent.exitcode is not None
    wait_until(lambda: not any(is_alive(int(file.read_text())) for file in files))


def wait_until(is_so, seconds: float = 100) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_alive(process: int) -> bool:
    """Whether a process runs; one that has ended and was not asked for is none."""
    with suppress(OSError):
        return Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    return False
