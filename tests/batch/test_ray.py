"""The same results by Ray as on this machine, each video once, whatever is killed on the way."""

import os
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import psutil
import pytest
import torch
from runs import ROOT, TINY

from mmtsf.commands import new_command

ray = pytest.importorskip('ray')
os.environ.setdefault('RAY_BACKEND_LOG_LEVEL', 'fatal')
FAULTS = ROOT / 'tests/reliability'


@pytest.fixture(scope='module', autouse=True)
def handler_of_sigterm() -> Iterator[None]:
    """Machines of a cluster put one in its place that outlives them, and ends a process with code 1."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope='module')
def cluster() -> Iterator[object]:
    """Two machines of one CPU each, as Ray sees them."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', f'{FAULTS}{os.pathsep}{os.environ.get("PYTHONPATH", "")}')
        patch.setenv('OMP_NUM_THREADS', '1')
        patch.syspath_prepend(str(FAULTS))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the last bits of results depend on it
        node = dict(num_cpus=1, object_store_memory=10**8)
        cluster = Cluster(initialize_head=True, head_node_args=dict(node, include_dashboard=False))
        cluster.add_node(**node)
        yield cluster
        cluster.shutdown()
        torch.set_num_threads(threads)


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


def test_what_is_killed_on_the_way_loses_no_video_and_does_none_twice(run, cluster, data, refused, tmp_path):
    """The driver is killed, the same command goes on, and loses an actor and a machine."""
    for copy in range(8):
        shutil.copytree(data.videos, tmp_path / f'videos/{copy}', ignore=shutil.ignore_patterns('hang*', 'crash*'))
    words = [tmp_path / 'videos', data.config, data.checkpoint]
    out, on_ray = tmp_path / 'ray.parquet', ['--engine', 'ray', '--address', cluster.address]
    driver = subprocess.Popen([sys.executable, '-m', 'mmtsf', 'features', *map(str, [*words, out, *on_ray])], cwd=ROOT)
    wait_for(lambda: len(parts_in(out)) >= 2, driver)
    driver.kill()
    driver.wait()
    before = parts_in(out)
    assert len(before) < 26
    (out / '.part-000001.parquet.half.part').write_bytes(b'half')
    machine = cluster.add_node(num_cpus=1, object_store_memory=10**8)
    killer = Thread(target=kill_one_of_each, args=(cluster, machine, out, len(before)), daemon=True)
    killer.start()
    assert run('features', *words, out, *on_ray) == 1
    killer.join()
    after = parts_in(out)
    assert {name: after[name] for name in before} == before
    assert not list(out.glob('.*.part'))
    assert run('features', *words, tmp_path / 'here.parquet') == 1
    here, rows = rows_of(tmp_path / 'here.parquet'), rows_of(out)
    assert len(rows) == 8 * 13
    assert [{key: row[key] for key in here[0]} for row in rows if not row['error']] == here
    with pytest.raises(ValueError, match='was begun with another list, level, config or checkpoint'):
        run('features', *words, out, '--level', 'clip', *on_ray)


def parts_in(out: Path) -> dict[str, int]:
    return {part.name: part.stat().st_mtime_ns for part in out.glob('part-*')}


def kill_one_of_each(cluster: object, machine: object, out: Path, before: int) -> None:
    """Kill an actor when it has begun, and a machine after some more parts."""
    wait_for(actors)
    actors()[0].kill()
    wait_for(lambda: len(parts_in(out)) >= before + 4)
    cluster.remove_node(machine, allow_graceful=False)


def actors() -> list[psutil.Process]:
    ours = psutil.Process().children(recursive=True)  # other runs have actors, too
    return [process for process in ours if process.name().startswith('ray::MapWorker')]


def wait_for(is_so: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    end = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < end
        assert process is None or process.poll() is None
        time.sleep(0.02)


def test_a_machine_that_sees_other_files_is_named(cluster, monkeypatch, tmp_path):
    from mmtsf.batch import cluster as module

    def sees(paths: list[str]) -> tuple[str, dict]:
        return module.__version__, dict.fromkeys(paths, os.getpid())

    monkeypatch.setattr(module, '_look', sees)
    with module.joined(cluster.address), pytest.raises(ValueError, match='/a.pth is not on .* of the cluster as it is'):
        module.check_machines([str(tmp_path / 'a.pth'), 's3://bucket/a.pth'])
