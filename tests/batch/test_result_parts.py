"""A folder of Parquet files is of one job, holds whole parts in the order of the list, and says what it cannot take."""

import argparse
import os
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pyarrow
import pytest
from pyarrow import parquet

from mmtsf.batch.job import Job, Result
from mmtsf.batch.parts import Parts, open_parts
from mmtsf.utils import arguments


class Lengths(Job):
    def columns(self) -> dict:
        return dict(length=pyarrow.int64())

    def row(self, value: int) -> dict:
        return dict(length=value)


def test_rows_come_in_the_order_of_the_list_and_broken_videos_have_their_reason(tmp_path):
    parts = open_parts(tmp_path / 'out.parquet', 'job', 2)
    videos = [f'{number}.mp4' for number in range(4)]
    for number in (1, 0):
        results = [Result(0, 10 * number), Result(1, None, 'no video \udce9')]
        done = list(parts.write(number, videos[2 * number :], results, Lengths()))
        assert [result.value for result in done] == [None, None]
    reason = 'no video \\udce9'
    assert list(parts.rows()) == [
        dict(video='0.mp4', length=0, error=None),
        dict(video='1.mp4', length=None, error=reason),
        dict(video='2.mp4', length=10, error=None),
        dict(video='3.mp4', length=None, error=reason),
    ]
    assert parquet.read_table(parts.folder).to_pylist() == list(parts.rows())
    assert open_parts(parts.folder, 'job', 5) == Parts(parts.folder, 2)
    assert parts.there() == {0, 1}


def test_a_part_that_fails_on_the_way_is_not_there(tmp_path):
    parts = open_parts(tmp_path / 'out.parquet', 'job', 2)

    def failing():
        yield Result(0, 1)
        raise OSError('no space')

    with pytest.raises(OSError, match='no space'):
        list(parts.write(0, ['a.mp4', 'b.mp4'], failing(), Lengths()))
    assert [path.name for path in parts.folder.iterdir()] == ['_settings.json']


def test_broken_and_changed_videos_are_left_to_do_and_what_is_no_part_is_told(tmp_path):
    videos = [str(tmp_path / f'{number}.mp4') for number in range(40)]
    for video in videos:
        Path(video).touch()
    parts, results = open_parts(tmp_path / 'out.parquet', 'job', 20), [Result(place, place) for place in range(20)]
    results[3] = Result(3, None, 'no video')
    list(parts.write(0, videos[:20], results, Lengths()))
    list(parts.write(1, videos[20:], results[:3] + [Result(3, 3)] + results[4:], Lengths()))
    assert parts.left(videos) == {0: [3]}
    file = parts.folder / 'part-000000.parquet'
    before = file.read_bytes()
    list(parts.mend(0, videos[:20], [Result(3, None, 'no video')], Lengths()))
    assert (file.read_bytes(), parts.left(videos)) == (before, {0: [3]})
    os.utime(videos[0], (1, 1))
    list(parts.mend(0, videos[:20], [Result(0, 100), Result(3, 103)], Lengths()))
    assert [row['length'] for row in parts.rows()] == [100, 1, 2, 103, *range(4, 20), *range(20)]
    assert parts.left(videos) == {}
    for damage in (b'', before[:100], (parts.folder / 'part-000001.parquet').read_bytes()):
        file.write_bytes(damage)
        assert parts.left(videos) == {0: list(range(20))}
    parts.check(40)
    for name in ('part-0.parquet', 'part-000002.parquet', 'part-000001.parquet.bak'):
        (parts.folder / name).touch()
        with pytest.raises(ValueError, match=f'{name} is no part of these results, but would be read as one'):
            parts.check(40)
        (parts.folder / name).unlink()


@pytest.mark.parametrize('text', ['', '{}', '[1]', '{"settings": "x", "size": 0}', '{"settings": 1, "size": 1}'])
def test_settings_that_are_none_are_refused_by_name(text, tmp_path):
    (tmp_path / '_settings.json').write_text(text)
    with pytest.raises(ValueError, match='_settings.json is damaged; remove'):
        open_parts(tmp_path, 'job', 2)


def test_folders_of_others_are_refused(tmp_path):
    open_parts(tmp_path / 'out.parquet', 'job', 2)
    with pytest.raises(ValueError, match='was begun with another list, level, config or checkpoint'):
        open_parts(tmp_path / 'out.parquet', 'another job', 2)
    (tmp_path / 'letters').mkdir()
    (tmp_path / 'letters/a.txt').touch()
    with pytest.raises(ValueError, match='letters is not empty and was not begun by this command; choose another'):
        open_parts(tmp_path / 'letters', 'job', 2)


def test_an_engine_that_is_not_there_or_not_chosen_is_one_line(monkeypatch):
    monkeypatch.setattr(arguments, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match=r"--engine is ray, and that is not installed; pip install 'mmtsf\[ray\]'"):
        arguments.check_engine(argparse.Namespace(engine='ray', address=None))
    with pytest.raises(ValueError, match='--address is head, the place of a Ray cluster; give --engine ray with it'):
        arguments.check_engine(argparse.Namespace(engine='local', address='head'))


@pytest.mark.parametrize(
    ('text', 'address'),
    [(None, 'local'), ('local', 'local'), ('auto', 'auto'), ('head', 'head:6379'), ('[::1]:7', '[::1]:7')],
)
def test_addresses_of_clusters(text, address):
    assert arguments.cluster_address(text) == address


@pytest.mark.parametrize('text', ['ray://head:10001', 'head:', 'head:x', 'head:99999', ':6379', 'a b'])
def test_what_is_no_address_of_a_cluster_is_refused(text):
    with pytest.raises(ValueError, match=r'--address is .*, expected HOST or HOST:PORT of the head of a Ray cluster'):
        arguments.cluster_address(text)


def test_where_no_cluster_answers_is_told_at_once():
    cluster = pytest.importorskip('mmtsf.batch.cluster')
    with socket.create_server(('127.0.0.1', 0)) as server:
        where = f'127.0.0.1:{server.getsockname()[1]}'
        Thread(target=lambda: server.accept()[0].sendall(b'SSH-2.0-x'), daemon=True).start()
        with (
            pytest.raises(ConnectionError, match='what answers there is no Ray cluster; begin one with ray start'),
            cluster.joined(where),
        ):
            pass
    with pytest.raises(ConnectionError, match='Connection refused; begin one'), cluster.joined(where):
        pass


LOST = """
import os, sys
from argparse import Namespace
from mmtsf.commands.processes import in_a_child
say_end = in_a_child(Namespace(engine='ray', address='head:1'), 'mmtsf check')
{}
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere no process ends with its parent')
@pytest.mark.parametrize(
    ('end', 'code', 'told'),
    [
        ('os._exit(1)', 3, 'mmtsf check: error: the Ray cluster at head:1 is gone, or this machine of it; the same'),
        ('os.kill(os.getpid(), 9)', 137, 'mmtsf check: error: it was killed by signal 9; the same command goes on'),
        ('say_end(); sys.exit(1)', 1, ''),
        ('import signal; signal.signal(2, signal.SIG_DFL); say_end(); os.kill(os.getpid(), 2)', 130, ''),
    ],
)
def test_a_command_that_ray_ends_says_why(end, code, told):
    ended = subprocess.run([sys.executable, '-c', LOST.format(end)], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr[: len(told)], bool(ended.stderr)) == (code, told, bool(told))


@pytest.mark.parametrize(
    ('nodes', 'has_model', 'device', 'pool'),
    [
        ([dict(CPU=2)], True, None, (1, 2, 0)),
        ([dict(CPU=1), dict(CPU=1)], True, None, (2, 1, 0)),
        ([dict(CPU=64)], False, None, (8, 8, 0)),
        ([dict(CPU=64, GPU=8), dict(CPU=32, GPU=8), dict(CPU=16)], True, None, (16, 4, 1)),
        ([dict(CPU=64, GPU=8)], True, 'cpu', (8, 8, 0)),
        ([dict(CPU=64, GPU=8)], False, None, (8, 8, 0)),
        ([dict(CPU=64), dict(CPU=1)], False, None, (8, 8, 0)),
        ([dict(CPU=8, GPU=4), dict(GPU=2), dict(CPU=1, GPU=0.5)], True, None, (4, 2, 1)),
        ([dict(CPU=8, GPU=4), dict(CPU=2, GPU=4)], True, None, (6, 1, 1)),
    ],
)
def test_actors_are_as_many_as_the_cluster_has_room_for(nodes, has_model, device, pool, monkeypatch):
    cluster = pytest.importorskip('mmtsf.batch.cluster')
    monkeypatch.setattr(cluster.ray, 'nodes', lambda: [dict(Alive=True, Resources=node) for node in nodes])
    job = Job()
    job.has_model = has_model
    found = cluster.pool_for(job, device)
    assert found == pool
    job.batch_size = 3
    assert found.part_size(10**6, job) == 129  # whole batches


def test_a_cluster_that_can_take_no_actor_is_refused(monkeypatch):
    cluster = pytest.importorskip('mmtsf.batch.cluster')
    job = Job()
    job.has_model = True
    for resources, words in (
        (dict(GPU=2, CPU=0.5), 'there is no CPU for 2 GPUs of the Ray cluster'),
        ({}, 'no whole CPU'),
    ):
        monkeypatch.setattr(cluster.ray, 'nodes', lambda found=resources: [dict(Alive=True, Resources=found)])
        with pytest.raises(ValueError, match=words):
            cluster.pool_for(job, None)
