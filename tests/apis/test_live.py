"""A live source that is faster than the model: the delay stays, frames are dropped."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest
from videos import grey_frames, numbers_of, write_greys, write_video

from mmtsf.apis import ClipPacker, LiveWindows, build_pipeline, covering, watch
from mmtsf.datasets.decoders import BrokenVideoError
from mmtsf.datasets.transforms import SampleClips

FPS = 25
STEP = 0.3  # seconds that a slow model takes


@pytest.fixture
def packer(model) -> ClipPacker:
    return ClipPacker(build_pipeline(model))


@pytest.fixture
def slow(model, monkeypatch):
    """A model that takes longer for a window than the next one takes to come."""
    step = model.test_step
    monkeypatch.setattr(model, 'test_step', lambda data: time.sleep(STEP) or step(data))
    return model


def play(path: str, seconds: float) -> str:
    """Serve a video over a socket at its own rate, for so long, and return the address."""
    server = socket.create_server(('127.0.0.1', 0))

    def serve() -> None:
        connection, _ = server.accept()
        with server, connection.makefile('wb') as out, av.open(path) as source, av.open(out, 'w', 'mpegts') as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            start = time.monotonic()
            for packet in source.demux(video=0):
                if packet.dts is None or packet.dts * packet.time_base > seconds:
                    return
                time.sleep(max(start + float(packet.dts * packet.time_base) - time.monotonic(), 0))
                packet.stream = stream
                target.mux(packet)
                out.flush()

    threading.Thread(target=serve, daemon=True).start()
    return f'tcp://127.0.0.1:{server.getsockname()[1]}'


def check_that_the_delay_is_bounded(model, packer, source: str, seconds: float) -> None:
    with closing(LiveWindows(source, packer, covering(model))) as windows:
        moments = list(watch(model, windows, packer))
    delays = [moment.delay for moment in moments]
    assert moments[-1].time > 0.7 * seconds
    assert min(delays) >= STEP
    assert max(delays) < 4 * STEP  # a queue would have grown to most of the video's length
    assert np.mean(delays[len(delays) // 2 :]) < 1.5 * np.mean(delays[: len(delays) // 2])
    assert windows.num_taken == len(moments) < windows.num_windows
    assert all(moment.scores.sum() == pytest.approx(1) for moment in moments)


def test_the_delay_is_bounded_while_the_model_is_slower_than_a_file_played_live(slow, packer, tmp_path):
    path = write_greys(tmp_path / 'video.mp4', 4 * FPS, fps=FPS)
    check_that_the_delay_is_bounded(slow, packer, path, 4)


def test_the_delay_is_bounded_while_the_model_is_slower_than_a_network_stream(slow, packer, tmp_path):
    path = write_video(tmp_path / 'video.mp4', grey_frames(5 * FPS), fps=FPS, gop_size=FPS)
    check_that_the_delay_is_bounded(slow, packer, play(path, 5), 5)


@pytest.mark.long
def test_the_delay_is_bounded_over_two_minutes(slow, packer, tmp_path):
    path = write_video(tmp_path / 'video.mp4', grey_frames(125 * FPS), fps=FPS, gop_size=FPS)
    check_that_the_delay_is_bounded(slow, packer, play(path, 120), 120)


def test_a_window_holds_the_newest_frames_at_their_distance(packer, tmp_path):
    path = write_greys(tmp_path / 'video.mp4', 40, height=48, width=48, fps=FPS)
    sampling = SampleClips(4, 5, 'cover')
    with closing(LiveWindows(path, packer, sampling)) as windows:
        seen = [numbers_of(np.stack(frames)) for _, frames in windows]
    assert seen[0] == [0, 5, 10, 15]
    assert seen[-1] == [20, 25, 30, 35]
    assert all(np.diff(numbers).tolist() == [5, 5, 5] for numbers in seen)


def test_a_source_shorter_than_a_window_is_one_window(packer, tmp_path):
    path = write_greys(tmp_path / 'video.mp4', 12, height=48, width=48, fps=FPS)
    with closing(LiveWindows(path, packer, SampleClips(4, 5, 'cover'))) as windows:
        assert [numbers_of(np.stack(frames)) for _, frames in windows] == [[0, 5, 10, 10]]


@pytest.mark.parametrize('source', ['99', 'tcp://127.0.0.1:9', str(Path('none.mp4'))])
def test_a_source_that_is_not_there_is_named(packer, source):
    with pytest.raises(ConnectionError, match=f'{source} cannot be opened, expected the number of a camera'):
        LiveWindows(source, packer, SampleClips(4, 5, 'cover'))


@pytest.fixture
def asked() -> Iterator[tuple[str, list]]:
    """Address of a socket on this machine, and the connections that were made to it."""
    connections: list = []
    server = socket.create_server(('127.0.0.1', 0))

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                connections.append(connection)
                connection.close()

    threading.Thread(target=listen, daemon=True).start()
    yield f'127.0.0.1:{server.getsockname()[1]}', connections
    server.close()


@pytest.mark.parametrize('name', ['x.m3u8', 'x.mp4', '12:30'])
def test_a_playlist_in_a_file_is_not_followed(name, packer, asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    address, connections = asked
    Path(name).write_text(f'#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://{address}/a.ts\n#EXT-X-ENDLIST\n')
    with pytest.raises(BrokenVideoError, match='it is no video but text|PyAV finds no video'):
        LiveWindows(name, packer, SampleClips(4, 5, 'cover'))
    assert connections == []


def test_a_file_that_is_there_wins_over_an_address(packer, asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    address, connections = asked
    path = Path(f'http:/{address}/video.mp4')
    path.parent.mkdir(parents=True)
    write_greys(path.resolve(), 12, height=48, width=48, fps=FPS)
    with closing(LiveWindows(f'http://{address}/video.mp4', packer, SampleClips(4, 5, 'cover'))) as windows:
        assert [numbers_of(np.stack(frames)) for _, frames in windows] == [[0, 5, 10, 10]]
    assert connections == []


def test_an_address_is_asked(packer, asked):
    address, connections = asked
    with pytest.raises(ConnectionError, match='cannot be opened'):
        LiveWindows(f'http://{address}/live', packer, SampleClips(4, 5, 'cover'))
    assert connections


def test_what_is_no_file_is_refused_at_once(packer, tmp_path):
    os.mkfifo(tmp_path / 'fifo')
    (tmp_path / 'loop.mp4').symlink_to('loop.mp4')
    for name in ('fifo', 'loop.mp4'):
        with pytest.raises(BrokenVideoError, match='no regular file|cannot be opened'):
            LiveWindows(str(tmp_path / name), packer, SampleClips(4, 5, 'cover'))


def test_a_file_that_breaks_off_ends_with_its_last_whole_frame(packer, tmp_path):
    path = Path(write_video(tmp_path / 'x.mp4', grey_frames(40), fps=FPS, movflags='faststart', gop_size=5))
    path.write_bytes(path.read_bytes()[: int(0.7 * path.stat().st_size)])
    with closing(LiveWindows(str(path), packer, SampleClips(2, 1, 'cover'))) as windows:
        assert all(len(frames) == 2 for _, frames in windows)
    assert 2 < windows.num_frames < 40
