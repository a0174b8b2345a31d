"""The cache of what is fetched is bounded, shared by processes, and never gives a version that is gone."""

import os
import random
from pathlib import Path

import pytest

from mmtsf.datasets import VideoListDataset
from mmtsf.utils import remote_cache
from mmtsf.utils.locations import location


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The folder of a cache of 100,000 bytes."""
    monkeypatch.setenv('MMTSF_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setenv('MMTSF_CACHE_SIZE', '100000')
    return tmp_path / 'cache'


def kept(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob('??/*'))


@pytest.mark.parametrize('store', ['s3', 'web'])
def test_a_file_is_fetched_once_and_anew_when_it_has_changed(store, folder, request) -> None:
    store = request.getfixturevalue(store)
    path = location(store.put('a.mp4', b'a' * 30_000))
    for content, fetched in ((b'a', 30_000), (b'a', 0), (b'b', 30_000), (b'b', 0)):
        store.put('a.mp4', content * 30_000)
        if store.root:
            os.utime(store.root / 'a.mp4', (1, ord(content)))  # when it was changed, which its ETag is made of
        store.server.clear()
        assert path.read_bytes() == content * 30_000
        assert sum(asked.sent for asked in store.server.asked if asked.method == 'GET') == fetched
    store.server.always = 403
    with pytest.raises(PermissionError, match='no rights'):
        path.read_bytes()


def test_what_was_used_longest_ago_is_removed_first(web, folder) -> None:
    paths = [location(web.put(f'{number}.mp4', bytes([number]) * 30_000)) for number in range(5)]
    for number in (0, 1, 2, 0, 3, 0, 4):
        assert paths[number].read_bytes() == bytes([number]) * 30_000
        for place, file in enumerate(sorted(folder.glob('??/*'), key=lambda file: file.stat().st_mtime)):
            os.utime(file, (place, place))  # the clock of a disk may be coarse
        assert kept(folder) <= 100_000
    web.server.clear()
    assert [paths[number].read_bytes()[:1] for number in (0, 3, 4)] == [b'\0', b'\3', b'\4']
    assert {asked.method for asked in web.server.asked} == {'HEAD'}
    big = location(web.put('big.mp4', b'x' * 200_000))
    assert len(big.read_bytes()) == 200_000
    assert kept(folder) == 90_000


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(web, folder, tmp_path) -> None:
    folder.write_text('a file')
    web.put('list.txt', 'a.mp4 0\n')
    (tmp_path / 'list.txt').write_text('a.mp4 0\n')
    words = 'MMTSF_CACHE is .*cache, which cannot be used: File exists; make room there, choose another folder, or'
    with pytest.raises(remote_cache.CacheError, match=words):
        location(f'{web.url}/list.txt').read_bytes()
    with pytest.raises(remote_cache.CacheError, match=words):
        VideoListDataset(str(tmp_path / 'list.txt'), [], 1, video_dir=web.url)


def test_many_processes_share_it(web, folder) -> None:
    paths = [location(web.put(f'{number}.mp4', bytes([number]) * 20_000)) for number in range(8)]
    children = []
    for seed in range(4):
        if not (child := os.fork()):
            choose = random.Random(seed)
            numbers = [choose.randrange(8) for _ in range(25)]
            os._exit(any(paths[number].read_bytes() != bytes([number]) * 20_000 for number in numbers))
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert kept(folder) <= 100_000 + 3 * 20_000
    assert not list(folder.glob('??/*.part'))


@pytest.mark.parametrize(
    ('variables', 'words'),
    [
        (dict(MMTSF_CACHE_SIZE='1G'), 'MMTSF_CACHE, the folder of the cache, is not set'),
        (dict(MMTSF_CACHE='/c', MMTSF_CACHE_SIZE='much'), "is 'much', expected a number of bytes as 500M or 50G"),
        (dict(MMTSF_CACHE='/c', MMTSF_CACHE_SIZE='0'), "is '0', expected"),
    ],
)
def test_wrong_words(variables, words, monkeypatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=words):
        remote_cache.settings()
    monkeypatch.setenv('MMTSF_CACHE', '/c')
    monkeypatch.setenv('MMTSF_CACHE_SIZE', '20gb')
    assert remote_cache.settings() == (Path('/c'), 20 * 2**30)
