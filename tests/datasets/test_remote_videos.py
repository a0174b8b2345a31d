"""Videos at addresses give the frames of the local file, and each of their bytes is fetched once."""

import errno
from pathlib import Path

import cv2
import numpy as np
import pytest
from decoders import needs_torchcodec
from videos import moving_texture, write_greys, write_video

from mmtsf.datasets.decoders import BrokenVideoError, Limits, open_video
from mmtsf.utils import remote_file
from mmtsf.utils.remote_calls import few_attempts

FORMATS = {
    'a.mp4': {},
    'fast.mp4': dict(movflags='faststart'),
    'a.mkv': {},
    'a.ts': {},
    'a.avi': {},
    'a.mpg': dict(codec='mpeg2video'),
    'a.flv': dict(codec='flv'),
}


@pytest.fixture(scope='module')
def films(tmp_path_factory) -> dict[str, Path]:
    """A film of several hundred thousand bytes in each format."""
    folder = tmp_path_factory.mktemp('films')
    frames = [cv2.resize(frame, (192, 96)) for frame in moving_texture(24, 48, 96)]
    noise = np.random.default_rng(0)
    frames = [np.clip(frame + noise.normal(0, 30, frame.shape), 0, 255).astype(np.uint8) for frame in frames]
    return {name: Path(write_video(folder / name, frames, gop_size=8, **more)) for name, more in FORMATS.items()}


@pytest.fixture
def small_blocks(monkeypatch) -> int:
    """Blocks that are smaller than those films."""
    monkeypatch.setattr(remote_file, 'BLOCK', 2**14)
    monkeypatch.setattr('mmtsf.utils.remote_calls.FIRST_WAIT', 0.01)
    return 2**14


@pytest.mark.parametrize('name', FORMATS)
def test_frames_of_the_local_file_and_each_byte_once(web, films, name, small_blocks) -> None:
    local = open_video(str(films[name]))
    size = films[name].stat().st_size
    assert size > small_blocks
    address = web.put(name, films[name])
    reader = open_video(address)
    wanted = np.array([20, 3, 9])
    assert (reader.read(wanted) == local.read(wanted)).all()
    assert (reader.times == local.times).all()
    assert web.server.sent == size
    assert len(web.server.asked) == -(-size // small_blocks)


@pytest.mark.parametrize('decoder', ['pyav', 'decord', 'auto', pytest.param('torchcodec', marks=needs_torchcodec)])
def test_a_small_file_takes_one_request(s3, films, decoder) -> None:
    address = s3.put('a b?x#y.mp4', films['a.mp4'])
    reader, local = open_video(address, decoder), open_video(str(films['a.mp4']), decoder)
    for wanted in (np.array([20, 3]), np.array([0])):
        assert (reader.read(wanted) == local.read(wanted)).all()
    assert [(asked.method, asked.sent) for asked in s3.server.asked] == [('GET', films['a.mp4'].stat().st_size)]


def test_a_folder_of_frames(s3, web, tmp_path) -> None:
    for number, frame in enumerate(moving_texture(3)):
        cv2.imwrite(str(tmp_path / f'img_{number:05}.png'), frame)
    local = open_video(str(tmp_path))
    for store in (s3, web):
        reader = open_video(store.put_folder(tmp_path, 'run?' if store is s3 else 'run'))
        store.server.clear()
        assert (reader.read(np.array([2, 0])) == local.read(np.array([2, 0]))).all()
        assert len(store.server.asked) == 2


def test_a_server_without_ranges_is_asked_once_more(s3, web, films, small_blocks, monkeypatch) -> None:
    monkeypatch.setattr(s3.server, 'app', _without_ranges(s3.server.app))
    assert remote_file.RemotePath.of(s3.put('a.mp4', films['a.mp4'])).read_bytes() == films['a.mp4'].read_bytes()
    address = web.put('a.mp4', films['a.mp4'])
    web.server.app = _without_ranges(web.server.app)
    assert (open_video(address).read(np.arange(24)) == open_video(str(films['a.mp4'])).read(np.arange(24))).all()
    with pytest.raises(BrokenVideoError, match=r'limits.file_bytes allows 100000'):
        open_video(address, limits=Limits(file_bytes=100_000))


def _without_ranges(app):
    def answer(environ, start_response):
        environ.pop('HTTP_RANGE', None)
        return app(environ, start_response)

    return answer


@pytest.mark.parametrize('has_length', [True, False])
def test_a_server_that_does_not_end_is_refused(web, has_length, monkeypatch) -> None:
    monkeypatch.setattr(remote_file, 'BLOCK', 2**16)

    def endless(environ, start_response):
        length = [('Content-Length', str(10**12))] if has_length else []
        start_response('206 Partial Content', [('Content-Range', f'bytes 0-{10**12 - 1}/{10**12}'), *length])
        for _ in range(1000):
            yield bytes(2**20)

    web.server.app = endless
    with few_attempts(1), pytest.raises(BrokenVideoError, match=r'the server sends .* bytes'):
        open_video(f'{web.url}/a.mp4')
    assert web.server.sent < 2**27


def test_limits_hold_before_all_is_fetched(web, films, small_blocks) -> None:
    address = web.put('fast.mp4', films['fast.mp4'])
    for limits, words in ((Limits(file_bytes=100_000), 'limits.file_bytes'), (Limits(frame_pixels=10), 'frame_pixels')):
        web.server.clear()
        with pytest.raises(BrokenVideoError, match=words):
            open_video(address, limits=limits)
        assert web.server.sent < films['fast.mp4'].stat().st_size / 2


def test_what_breaks_is_fetched_again_and_what_stays_broken_is_an_error(web, films, small_blocks) -> None:
    address, local = web.put('a.mkv', films['a.mkv']), open_video(str(films['a.mkv']))
    web.server.faults[:] = [None, None, 'break', 503, 'break']
    assert (open_video(address).read(np.arange(24)) == local.read(np.arange(24))).all()
    for name in FORMATS:
        address = web.put(name, films[name])
        web.server.clear()
        web.server.faults[:] = [None]
        web.server.always = 503
        with few_attempts(), pytest.raises(BrokenVideoError, match='cannot be reached'):
            open_video(address).read(np.arange(24))


@pytest.mark.parametrize('without', [(), ('ETag',), ('ETag', 'Last-Modified'), ('Content-Range',)])
def test_a_file_that_changes_after_the_first_request(s3, web, films, small_blocks, without) -> None:
    web.server.app = _answering(web.server.app, lambda asked, name, value: None if name in without else value)
    for store in (s3, web):
        file = remote_file.RemoteFile(remote_file.RemotePath.of(store.put('a.mp4', films['a.mp4'])))
        if 'Content-Range' in without:  # whose server is asked for the whole at once
            assert file.size == films['a.mp4'].stat().st_size
            continue
        store.put('a.mp4', films['a.mp4'].read_bytes() + b'more')
        with pytest.raises(OSError, match='has changed while it was read'):
            file.read_at(2 * small_blocks, 10)


def test_of_other_storage_no_two_versions_are_mixed(films, small_blocks) -> None:
    path = remote_file.RemotePath.of('memory://films/a.mp4')
    path.write_bytes(films['a.mp4'].read_bytes())
    assert path.read_bytes() == films['a.mp4'].read_bytes()
    file = remote_file.RemoteFile(path)
    path.write_bytes(films['a.mp4'].read_bytes() + b'more')
    with pytest.raises(OSError, match='has changed while it was read'):
        file.read_at(2 * small_blocks, 10)


@pytest.mark.parametrize(
    ('most', 'total', 'words'),
    [(2**13, None, None), (2**13, '*', None), (10, None, '10 bytes came'), (None, '7/8', 'the server says')],
)
def test_a_server_that_sends_less_than_it_is_asked_for(web, films, small_blocks, most, total, words) -> None:
    address, content = web.put('a.mp4', films['a.mp4']), films['a.mp4'].read_bytes()
    inner = web.server.app

    def app(environ, start_response):
        asked = environ.get('HTTP_RANGE', '').removeprefix('bytes=')
        if asked and most:
            start, end = map(int, asked.split('-'))
            environ['HTTP_RANGE'] = f'bytes={start}-{min(end, start + most - 1)}'
        told = total and {'*': lambda value: value.rpartition('/')[0] + '/*'}.get(total, lambda value: 'bytes 7-8/9')
        change = lambda _, name, value: told(value) if total and name == 'Content-Range' else value  # noqa: E731
        return _answering(inner, change)(environ, start_response)

    web.server.app = app
    path = remote_file.RemotePath.of(address)
    if words is None:
        assert path.read_bytes() == content
        return
    with few_attempts(1), pytest.raises(OSError, match=words):
        path.read_bytes()


def _answering(app, change):
    """An application whose headers are others; those that are None are left out."""

    def answer(environ, start_response):
        def start(status, headers, *more):
            found = [(name, change(environ, name, value)) for name, value in headers]
            return start_response(status, [pair for pair in found if pair[1] is not None], *more)

        return app(environ, start)

    return answer


@pytest.mark.parametrize(
    ('name', 'fault', 'words'),
    [
        ('none.mp4', None, 'the file does not exist'),
        ('none', None, 'the file does not exist'),
        ('a.mp4', 403, 'no rights'),
        ('empty.mp4', None, 'the file is empty'),
        ('list.mp4', None, 'PyAV finds no video'),
    ],
)
def test_what_is_no_video(s3, web, tmp_path, name, fault, words) -> None:
    for store in (s3, web):
        store.put('a.mp4', b'x')
        store.put('empty.mp4', b'')
        store.put('list.mp4', '#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n')
        store.server.always = fault
        with pytest.raises(BrokenVideoError, match=words):
            open_video(f'{store.url}/{name}')


def test_file_objects_stand_for_a_video(tmp_path) -> None:
    path = Path(write_greys(tmp_path / 'a.mp4', 10))
    for decoder in ('pyav', 'decord'):
        reader = open_video('in a shard/a.mp4', decoder, file=lambda: path.open('rb'))
        assert (reader.read(np.arange(10)) == open_video(str(path)).read(np.arange(10))).all()

    class Failing:
        seek = tell = close = lambda *_: 100

        def read(self, _: int) -> bytes:
            raise OSError(errno.EIO, 'the disk is broken')

    with pytest.raises(BrokenVideoError, match='the disk is broken'):
        open_video('a.mp4', file=Failing)
