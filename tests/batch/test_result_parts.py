"""A folder of Parquet files is of one job, holds whole parts in the order of the list, and says what it cannot take."""

import argparse

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
    ('nodes', 'has_model', 'device', 'pool'),
    [
        ([dict(CPU=2)], True, None, (1, 2, 0)),
        ([dict(CPU=1), dict(CPU=1)], True, None, (2, 1, 0)),
        ([dict(CPU=64)], False, None, (8, 8, 0)),
        ([dict(CPU=64, GPU=8), dict(CPU=32, GPU=8), dict(CPU=16)], True, None, (16, 4, 1)),
        ([dict(CPU=64, GPU=8)], True, 'cpu', (8, 8, 0)),
        ([dict(CPU=64, GPU=8)], False, None, (8, 8, 0)),
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
