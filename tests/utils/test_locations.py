"""Addresses are paths, whatever their protocol; what may pass is tried again, and errors are one line."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from mmtsf.preparation.video_paths import list_folder, videos_of
from mmtsf.utils.class_folders import empty_folders, find_classes
from mmtsf.utils.locations import is_address, location
from mmtsf.utils.read_text import open_text, read_text
from mmtsf.utils.remote_calls import UnreachableError, few_attempts


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('s3://bucket/a b.mp4', 's3://bucket/a b.mp4'),
        ('S3://bucket/a?x#y.mp4', 's3://bucket/a?x#y.mp4'),
        ('https://host/a.mp4?key=1', 'https://host/a.mp4?key=1'),
        ('a:b.mp4', Path('a:b.mp4')),
        ('C:/videos/a.mp4', Path('C:/videos/a.mp4')),
        ('C:\\videos', Path('C:\\videos')),
        ('file:///videos/a b.mp4', Path('/videos/a b.mp4')),
        ('file://localhost/videos', Path('/videos')),
        ('mmtsf::timesformer_base_k400.py', Path('mmtsf::timesformer_base_k400.py')),
        ('rtsp://camera/1', Path('rtsp://camera/1')),
    ],
)
def test_an_address_is_told_from_a_name(text, expected) -> None:
    found = location(text)
    assert is_address(text) == isinstance(expected, str)
    assert (str(found) if is_address(text) else found) == expected
    assert pickle.loads(pickle.dumps(found)) == found


def test_light() -> None:
    code = (
        "import sys; from mmtsf.utils.locations import location; location('a')\n"
        "print(sorted({'fsspec', 'upath', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout == '[]\n'


def test_paths_of_a_bucket(s3) -> None:
    for name in ('videos/run/a.mp4', 'videos/run/b c.mp4', 'videos/jump/d?x#y.mp4', 'list.txt'):
        s3.put(name, name)
    root = location(s3.url)
    assert [path.is_dir() for path in (root, root / 'videos', root / 'list.txt', root / 'none')] == [1, 1, 0, 0]
    assert [path.is_file() for path in (root, root / 'videos', root / 'list.txt', root / 'none')] == [0, 0, 1, 0]
    assert sorted(path.name for path in (root / 'videos').iterdir()) == ['jump', 'run']
    assert (root / 'videos/jump/d?x#y.mp4').read_text() == 'videos/jump/d?x#y.mp4'
    assert (root / 'list.txt').stat().st_size == 8
    assert not (root / 'none').exists()


def test_keys_that_no_path_can_stand_for(s3) -> None:
    good = ['run/a.mp4', 'run/sub/b.mp4', 'run', 'walk/c.mp4']
    odd = ['run//d.mp4', 'run/../e.mp4', 'run/./f.mp4', 'run/x::y.mp4', 'empty//g.mp4']
    markers = ['run/', 'run/sub/', 'only/']
    for key in [*good, *odd, *markers]:
        s3.put(key, b'' if key.endswith('/') else 'x')
    root = location(s3.url)
    with pytest.warns(UserWarning, match='left out of .* keys others') as told:
        assert list_folder(root) == [name for name in sorted(good) if name != 'run']
    assert not any('line break' in str(warning.message) for warning in told)
    with pytest.warns(UserWarning, match='left out of .*/run: .* keys others'):
        assert [entry.name for entry in location(f'{s3.url}/run').entries()] == ['a.mp4', 'sub']
    with pytest.warns(UserWarning, match=r"'\.\./e.mp4'"):
        assert videos_of(f'{s3.url}/run/**/*.mp4') == [f'{s3.url}/run/a.mp4', f'{s3.url}/run/sub/b.mp4']
    with pytest.warns(UserWarning, match='left out of .*/empty: .* keys others'):
        assert [folder.name for folder in empty_folders(root)] == ['only']
    s3.put('only/h.mp4', 'x')
    with pytest.warns(UserWarning, match='they hold no video: empty;'):
        assert find_classes(root) == ['only', 'run', 'walk']
    assert videos_of(f'{s3.url}/run') == [f'{s3.url}/run']
    with pytest.warns(UserWarning, match='left out'):
        assert videos_of(pickle.loads(pickle.dumps(location(f'{s3.url}/run/'))))[0] == f'{s3.url}/run/a.mp4'
    assert list(location(f'{s3.url}/only/').entries())[0].name == 'h.mp4'


def test_a_redirection_without_end_is_named(web) -> None:
    def app(environ, start_response):
        start_response('302 Found', [('Location', environ['PATH_INFO']), ('Content-Length', '0')])
        return []

    web.server.app = app
    for call in (location(f'{web.url}/a.txt').read_text, location(f'{web.url}/a.txt').exists):
        with pytest.raises(OSError, match='led on from one address to the next without an end'):
            call()


@pytest.mark.parametrize('kind', ['local', 'device', 's3', 'web', 'endless'])
def test_a_text_is_no_larger_than_a_list(kind, tmp_path, monkeypatch, request) -> None:
    monkeypatch.setattr('mmtsf.utils.read_text.MOST_OF_A_TEXT', 1000)
    (tmp_path / 'a.txt').write_text('x' * 1001)
    files = dict(local=tmp_path / 'a.txt', device=Path('/dev/zero'))
    if kind in ('s3', 'web', 'endless'):
        store = request.getfixturevalue('s3' if kind == 's3' else 'web')
        file = files[kind] = location(store.put('a.txt', tmp_path / 'a.txt'))
        if kind == 'endless':
            store.server.app = _endless
        with pytest.raises(ValueError, match='expected a text of up to 1000'):
            file.read_text()
    for read in (read_text, lambda file: open_text(file).read(1) and read_text(file)):
        with pytest.raises(ValueError, match='a.txt holds .* expected a text of up to 1000|/dev/zero'):
            read(files[kind])


def _endless(environ, start_response):
    start_response('200 OK', [])
    for _ in range(2000):
        yield bytes(2**16)


def test_paths_after_a_fork(s3) -> None:
    path = location(s3.put('a.txt', 'content'))
    assert path.read_text() == 'content'
    if not (child := os.fork()):
        os._exit(path.read_text() != 'content')
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize('fault', [503, 500, 'break'])
def test_what_passes_is_tried_again(s3, web, fault, monkeypatch) -> None:
    monkeypatch.setattr('mmtsf.utils.remote_calls.FIRST_WAIT', 0.01)
    for store in (s3, web):
        path = location(store.put('a.txt', 'content' * 1000))
        store.server.faults[:] = [fault, fault]
        assert path.read_text() == 'content' * 1000
        store.server.faults[:] = [503]
        assert path.exists()


@pytest.mark.parametrize(
    ('fault', 'error', 'words'),
    [
        (403, PermissionError, 'no rights'),
        (401, PermissionError, 'no credentials'),
        (404, FileNotFoundError, 'does not exist'),
        (503, UnreachableError, 'cannot be reached'),
        ('break', UnreachableError, 'cannot be reached'),
    ],
)
def test_one_line_for_each(s3, web, fault, error, words) -> None:
    for store in (s3, web):
        path = location(store.put('a.txt', 'content' * 1000))
        store.server.clear()
        store.server.always = fault
        with few_attempts(), pytest.raises(error, match=words) as caught:
            path.read_text()
        assert len(store.server.asked) <= 2
        assert '\n' not in str(caught.value)
        assert str(path) in str(caught.value)
        assert error is UnreachableError or len({asked.method for asked in store.server.asked}) == len(
            store.server.asked
        )
