"""The same results by Ray as on this machine, each video once, whatever is killed on the way."""

import os
import shutil
import signal
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import psutil
import pytest
import torch
import warm
from runs import ROOT, TINY

from mmtsf.commands import new_command

ray = pytest.importorskip('ray')
os.environ.setdefault('RAY_BACKEND_LOG_LEVEL', 'fatal')
FAULTS = ROOT / 'tests/reliability'
MACHINE = dict(num_cpus=1, object_store_memory=10**8)


@pytest.fixture(scope='module', autouse=True)
def handler_of_sigterm() -> Iterator[None]:
    """Machines of a cluster put one in its place that outlives them, and ends a process with code 1."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope='module')
def cluster() -> Iterator[object]:
    """A machine of one CPU, as Ray sees it."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', f'{FAULTS}{os.pathsep}{os.environ.get("PYTHONPATH", "")}')
        patch.setenv('OMP_NUM_THREADS', '1')
        patch.setenv('RAY_worker_niceness', '0')  # or actors would wait for all the other tests
        patch.syspath_prepend(str(FAULTS))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the last bits of results depend on it
        cluster = Cluster(initialize_head=True, head_node_args=dict(MACHINE, include_dashboard=False))
        yield cluster
        cluster.shutdown()
        torch.set_num_threads(threads)


@pytest.fixture(scope='module')
def second_machine(cluster) -> None:
    """Another machine of that cluster."""
    cluster.add_node(**MACHINE)


@pytest.fixture
def run(cluster):
    """A command, in this process: its exit code."""

    def run(name: str, *words: object) -> int:
        command, parser = new_command(name)
        args = parser.parse_intermixed_args(list(map(str, words)))
        command.check(args)
        return command.run(args)

    return run


@pytest.fixture(scope='module')
def data(motion, tiny_checkpoint, tmp_path_factory) -> Namespace:
    """Config with the faulty decoder, and a list of good and bad videos, of which two are named twice."""
    folder = tmp_path_factory.mktemp('data')
    config, videos = folder / 'faulty.py', folder / 'videos'
    config.write_text(
        f"_base_ = '{ROOT / TINY}'\ncustom_imports = dict(imports=['mmtsf', 'faults'])\ndecoder = 'faulty'\n"
    )
    shutil.copytree(motion / 'test', videos)
    for name in ('crash', 'hang'):
        shutil.copy(videos / 'left/0000.mp4', videos / f'left/{name}.mp4')
    (videos / 'right/bad.mp4').write_text('no video')
    names = sorted(str(path.relative_to(videos)) for path in videos.rglob('*.mp4'))
    listed = folder / 'list.txt'
    listed.write_text(''.join(f'{name} 0\n' for name in [*names, *names[:2]]))
    return Namespace(config=config, videos=videos, names=names, list=listed, checkpoint=tiny_checkpoint)


def rows_of(folder: Path) -> list[dict]:
    """Rows of a data set as any reader of Parquet gives them, which leaves nothing out that begins as others do."""
    from pyarrow import parquet

    return parquet.read_table(folder).to_pylist()


REASONS = {
    'left/crash.mp4': 'the process that read it was killed by signal 11',
    'left/hang.mp4': 'it could not be read within 3 s',
    'right/bad.mp4': 'PyAV finds no video that it can decode',
}


@pytest.mark.long  # 42 s; the test of kills compares features, too
@pytest.mark.usefixtures('second_machine')
def test_features_and_predictions_are_the_same_bit_for_bit_and_bad_videos_have_a_row(run, cluster, data, tmp_path):
    words = [data.list, data.config, data.checkpoint]
    more = ['--root', data.videos, '--time-limit', 3, '--device', 'cpu']
    on_ray = [*more, '--engine', 'ray', '--address', cluster.address]
    assert run('features', *words, tmp_path / 'here.parquet', *more) == 1
    assert run('features', *words, tmp_path / 'ray.parquet', *on_ray) == 1
    here, rows = rows_of(tmp_path / 'here.parquet'), rows_of(tmp_path / 'ray.parquet')
    assert [row['video'] for row in rows] == [str(data.videos / name) for name in data.names]
    assert {row['video']: row['error'] for row in rows if row['error']} == {
        str(data.videos / name): reason for name, reason in REASONS.items()
    }
    assert [{key: row[key] for key in here[0]} for row in rows if not row['error']] == here
    broken = [(tmp_path / f'{name}.broken.txt').read_text() for name in ('here', 'ray')]
    assert broken[0] == broken[1] == ''.join(f'{data.videos / name}\n' for name in REASONS)
    files = [['--json', tmp_path / f'{name}.json', '--csv', tmp_path / f'{name}.csv'] for name in ('here', 'ray')]
    assert run('predict', *words, *more, *files[0]) == 1
    assert run('predict', *words, *on_ray, *files[1], '--parquet', tmp_path / 'p.parquet') == 1
    for suffix in ('json', 'csv'):
        assert (tmp_path / f'here.{suffix}').read_text() == (tmp_path / f'ray.{suffix}').read_text()


@pytest.mark.long  # 21 s
@pytest.mark.usefixtures('second_machine')
def test_check_and_transcode_leave_the_same_files(run, cluster, data, tmp_path):
    on_ray = ['--engine', 'ray', '--address', cluster.address]
    for name, more in (('here', []), ('ray', on_ray)):
        assert run('check', data.list, '--root', data.videos, '--out', tmp_path / f'checked_{name}', *more) == 1
        assert run('transcode', data.list, tmp_path / name, '--root', data.videos, *more) == 1
    for folder in ('checked_{}', '{}'):
        here, there = (
            {p.relative_to(f): p.read_bytes() for p in f.rglob('*') if p.is_file() and p.suffix != '.tsv'}
            for f in (tmp_path / folder.format('here'), tmp_path / folder.format('ray'))
        )
        assert here == there


@pytest.mark.parametrize('loses_machine', [False, pytest.param(True, marks=pytest.mark.long)])
def test_what_is_killed_on_the_way_loses_no_video_and_does_none_twice(
    loses_machine, run, cluster, data, refused, tmp_path, request
):
    """The driver is killed, the same command goes on, with a machine more, and loses an actor, perhaps a machine."""
    for copy in range(4):
        shutil.copytree(data.videos, tmp_path / f'videos/{copy}', ignore=shutil.ignore_patterns('hang*', 'crash*'))
    shutil.copy(tmp_path / 'videos/0/left/0000.mp4', tmp_path / 'videos/1/wait.mp4')
    met = tmp_path / 'videos/1/wait.met'  # until whoever reads this video is killed, no run comes to its end
    words = [tmp_path / 'videos', data.config, data.checkpoint]
    out, on_ray = tmp_path / 'ray.parquet', ['--engine', 'ray', '--address', cluster.address]
    command = ['-m', 'mmtsf', 'features', *map(str, [*words, out, *on_ray])]
    with (tmp_path / 'log').open('w') as log:
        driver = warm.start(command, ROOT, dict(os.environ), log)
    wait_for(lambda: met.exists() and len(parts_in(out)) >= 2, driver)
    driver.kill()
    driver.wait()
    before = parts_in(out)
    (out / '.part-000001.parquet.half.part').write_bytes(b'half')
    met.unlink()
    request.getfixturevalue('second_machine')
    machine = cluster.add_node(**MACHINE) if loses_machine else None
    killer = Thread(target=kill_what_waits, args=(met, cluster, machine), daemon=True)
    killer.start()
    assert run('features', *words, out, *on_ray) == 1
    killer.join()
    after = parts_in(out)
    assert {name: after[name] for name in before} == before
    assert not list(out.glob('.*.part'))
    assert run('features', *words, tmp_path / 'here.parquet') == 1
    here, rows = rows_of(tmp_path / 'here.parquet'), rows_of(out)
    assert len(rows) == 4 * 13 + 1
    assert [{key: row[key] for key in here[0]} for row in rows if not row['error']] == here
    with pytest.raises(ValueError, match='was begun with another list, level, config or checkpoint'):
        run('features', *words, out, '--level', 'clip', *on_ray)


def parts_in(out: Path) -> dict[str, int]:
    return {part.name: part.stat().st_mtime_ns for part in out.glob('part-*')}


def kill_what_waits(met: Path, cluster: object, machine: object) -> None:
    """Kill a machine, if one is given, and the actor whose process waits at a video."""
    wait_for(met.exists)
    if machine:
        cluster.remove_node(machine, allow_graceful=False)
    for process in psutil.Process().children(recursive=True):  # other runs have actors, too
        with suppress(psutil.NoSuchProcess):
            if process.name().startswith('ray::MapWorker') and int(met.read_text()) in map(pid_of, process.children()):
                process.kill()


def pid_of(process: psutil.Process) -> int:
    return process.pid


def wait_for(is_so: Callable[[], object], process: warm.Child | None = None) -> None:
    end = time.monotonic() + 600
    while not is_so():
        assert time.monotonic() < end
        assert process is None or process.poll() is None
        time.sleep(0.02)


@pytest.mark.usefixtures('second_machine')
def test_a_machine_that_sees_other_files_is_named(cluster, monkeypatch, tmp_path):
    from mmtsf.batch import machines
    from mmtsf.batch.cluster import joined

    def sees(paths: list[str]) -> tuple[str, dict]:
        return machines.__version__, dict.fromkeys(paths, os.getpid())

    monkeypatch.setattr(machines, '_look', sees)
    with joined(cluster.address), pytest.raises(ValueError, match='/a.pth is not on .* of the cluster as it is here'):
        machines.check_machines([str(tmp_path / 'a.pth'), 's3://bucket/a.pth'])
