"""The page without a browser: what visitors send over HTTP, and what stays of it."""

import asyncio
import base64
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
from helpers import skip_without
from runs import ROOT, TINY
from videos import gif, write_greys

skip_without('gradio')
from page import Served, Visitor, served  # noqa: E402

from mmtsf.apis import inference_recognizer, init_recognizer  # noqa: E402
from mmtsf.config import load_config  # noqa: E402

META = {'_type': 'gradio.FileData'}
NO_UPLOAD = 'This video is not here'
NO_VIDEO = 'This file is no video that can be read'


@pytest.fixture(scope='module')
def converters(tmp_path_factory) -> Path:
    """A folder with an ffmpeg and an ffprobe that leave a mark where they are called."""
    folder = tmp_path_factory.mktemp('converters')
    for name in ('ffmpeg', 'ffprobe'):
        (folder / name).write_text(f'#!/bin/sh\necho "$0 $@" >> {folder}/called\nexit 1\n')
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture(scope='module')
def samples(motion, tmp_path_factory, local) -> Path:
    """Two videos to choose from, and a playlist with the name of one."""
    folder = tmp_path_factory.mktemp('samples')
    for number, video in enumerate(sorted(motion.glob('test/left/*.mp4'))[:2]):
        (folder / f'{number}.mp4').write_bytes(video.read_bytes())
    (folder / 'playlist.mp4').write_text(f'#EXTM3U\n#EXTINF:1,\n{local}\n#EXT-X-ENDLIST\n')
    return folder


@pytest.fixture(scope='module')
def local(tmp_path_factory) -> Path:
    """A video of the page's machine that nobody uploaded."""
    return Path(write_greys(tmp_path_factory.mktemp('private') / 'local.mp4', 30))


@pytest.fixture(scope='module')
def page(tiny_checkpoint, tmp_path_factory, converters, samples) -> Iterator[Served]:
    """The page of a small model, by the config that a run left, with small limits."""
    folder = tmp_path_factory.mktemp('page')
    load_config(str(ROOT / TINY)).dump(folder / 'left.py')
    words = ['--samples', samples, '--max-megabytes', 1, '--max-minutes', 2]
    path = f'{converters}:{os.environ["PATH"]}'
    with served(folder, tiny_checkpoint, *words, config=folder / 'left.py', PATH=path) as page:
        yield page


#: Holds a page's folder as a page does, until it is killed
HOLDER = 'import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), 2); print(flush=True); input()'


@pytest.fixture(scope='module')
def hasty(tiny_checkpoint, tmp_path_factory) -> Iterator[Served]:
    """A page that takes a second for a video and keeps files for three; when it starts there are a folder of a page
    that was killed, one of a page that lives, and a file of somebody else."""
    folder, holders = tmp_path_factory.mktemp('hasty'), {}
    for name in ('killed', 'lives'):
        held = folder / 'temporary' / f'mmtsf-page-{name}'
        held.mkdir(parents=True)
        (held / 'upload.mp4').write_bytes(b'x')
        words = [sys.executable, '-c', HOLDER, str(held)]
        holders[name] = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        holders[name].stdout.readline()
    holders['killed'].kill()
    holders['killed'].wait()
    (folder / 'temporary' / 'mmtsf-page-notes.txt').write_text('mine')
    words = ['--max-megabytes', 8, '--max-minutes', 10, '--max-seconds', 1, '--keep-minutes', 0.05]
    with served(folder, tiny_checkpoint, *words) as page:
        yield page
    holders['lives'].kill()
    holders['lives'].wait()


@pytest.fixture
def visitor(page) -> Visitor:
    return Visitor(page)


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list]]:
    """Address of another server on this machine, and the requests that it was sent."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}', asked
    server.shutdown()


def wait_for(what, seconds: float = 20) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, 'it does not come to hold'
        time.sleep(0.1)


# What is right


@pytest.mark.parametrize('settings', [(1, 1, 8), (2, 3, 4)])
def test_names_are_those_of_inference_with_the_same_views(visitor, tiny_checkpoint, motion, settings):
    video = next(motion.glob('test/right/*.mp4'))
    output = visitor.ask(visitor.upload(video), *settings)
    options = dict(zip(('views.num_clips', 'views.num_crops', 'clip.num_frames'), settings))
    model = init_recognizer(ROOT / TINY, tiny_checkpoint, 'cpu', options)
    expected = inference_recognizer(model, video).pred_scores.item.numpy()
    names = visitor.names(output)
    found = [names[name] for name in model.dataset_meta['classes']]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    _, bands, attention, note = output['data']
    assert (bands[0]['start'], bands[-1]['end']) == (0, 1)
    assert all(band['name'] in names and 0.25 < band['score'] <= 1 for band in bands)
    maps = np.frombuffer(base64.b64decode(attention['maps']), np.uint8)
    assert len(maps) == len(attention['times']) * attention['rows'] * attention['columns']
    assert attention['times'] == sorted(set(attention['times']))
    assert attention['box'] == [0, 0, 1, 1]  # the videos are square
    assert maps.max() == 255
    assert note == ''  # nothing was left out


def test_visitors_at_once_get_their_own_results(page, motion):
    visitors = [Visitor(page) for _ in range(3)]
    videos = [next(motion.glob(f'test/{name}/*.mp4')) for name in ('left', 'right', 'left_then_right')]
    alone = [v.names(v.ask(v.upload(video))) for v, video in zip(visitors, videos)]
    answers = [v.join(v.upload(video)) for v, video in zip(visitors, videos)]
    assert all(answer.status_code == 200 for answer in answers)
    outputs = [list(v.messages())[-1]['output'] for v in visitors]
    assert [v.names(output) for v, output in zip(visitors, outputs)] == alone
    assert len({output['data'][2]['maps'] for output in outputs}) == 3


def test_samples_that_are_no_videos_are_named_and_left_out(page, visitor, samples):
    assert len(visitor.samples) == 2
    assert f'{samples / "playlist.mp4"} is no sample' in page.log.read_text()
    assert 'data' in visitor.ask({'path': visitor.samples[0], 'meta': META})
    assert visitor.fetch(visitor.samples[0]).status_code == 200


# What is asked of it


@pytest.mark.parametrize(
    'settings',
    [
        (0, 1, 8),
        (11, 1, 8),
        (10**9, 1, 8),
        (1, -1, 8),
        (1, 4, 8),
        (1, 1, 1),
        (1, 1, 1e6),
        (1.5, 1, 8),
        (True, 1, 8),
        (None, 1, 8),
        ('3', 1, 8),
        (1, [1], 8),
        (1, 1, {'path': '/etc/passwd', 'meta': META}),
    ],
)
def test_settings_out_of_range_are_one_error_and_no_work(page, visitor, local, settings):
    output = visitor.ask(visitor.upload(local), *settings)
    assert 'expected a whole number from' in output['error']
    assert not page.is_working()


@pytest.mark.parametrize('attention', ['time, head 3', 'all', None, 7, ['time']])
def test_attention_that_is_none_of_the_list_is_one_error(visitor, local, attention):
    error = visitor.ask(visitor.upload(local), 1, 1, 8, attention)['error']
    assert 'expected one of all blocks, time, space, space, head 1, space, head 2' in error


@pytest.mark.parametrize('number', ['NaN', 'Infinity', '-1e400'])
def test_numbers_that_are_none_are_refused(visitor, local, number):
    video = json.dumps(visitor.upload(local))
    body = f'{{"data": [{video}, {number}, 1, 8, "all blocks"], "fn_index": {visitor.function}, "session_hash": "s"}}'
    answer = visitor.http.post('/gradio_api/queue/join', content=body, headers={'Content-Type': 'application/json'})
    if answer.status_code == 200:
        visitor.session = 's'
        assert 'expected a whole number from' in list(visitor.messages())[-1]['output']['error']


@pytest.mark.parametrize(
    'path', ['{local}', 'file://{local}', '/etc/passwd', '{url}/x.mp4', 'data:video/mp4;base64,AAAA', '{up}', 'a\0b']
)
def test_what_was_not_uploaded_is_not_read(visitor, local, elsewhere, path):
    url, asked = elsewhere
    up = Path(visitor.upload(local)['path']).parent / '../../../../..' / str(local)[1:]
    path = path.format(local=local, url=url, up=up)
    stream = {'path': path, 'url': path, 'meta': META, 'is_stream': True}
    for value in (path, {'path': path}, {'path': path, 'meta': META}, stream):
        assert NO_UPLOAD in visitor.ask(value)['error']
    assert asked == []


@pytest.mark.parametrize(
    'path',
    [
        '/gradio_api/file={local}',
        '/gradio_api/file=/etc/passwd',
        '/gradio_api/file={temporary}/../../log',
        '/gradio_api/file={sample}/../../../../../log',
        '/gradio_api/file={url}/x.mp4',
        '/gradio_api/file/{local}',
        '/gradio_api/proxy={url}/x.mp4',
        '/gradio_api/stream/{url}',
        '/gradio_api/component_server',
        '/gradio_api/vibe-code',
        '/monitoring/summary',
        '/docs',
        '/openapi.json',
    ],
)
def test_no_file_or_address_but_its_own_is_served(page, visitor, local, elsewhere, path):
    url, asked = elsewhere
    path = path.format(local=local, url=url, temporary=page.temporary, sample=visitor.samples[0])
    for way in (path, path.replace('..', '%2e%2e').replace('//', '%2F%2F')):
        answer = visitor.http.get(way)
        assert answer.status_code in (403, 404, 405), answer.text
    assert asked == []


@pytest.mark.parametrize('route', ['process_recording', 'vibe-edit', 'component_server', 'upload/x'])
def test_other_ways_into_the_server_are_closed(visitor, local, converters, route):
    answer = visitor.http.post(f'/gradio_api/{route}', files={'video': ('x.mp4', local.read_bytes())})
    assert answer.status_code == 404
    body = dict(data=[visitor.upload(local), 1, 1, 8, 'all blocks'])
    assert visitor.http.post('/gradio_api/run/classify', json=body).status_code == 404  # past the queue
    assert not (converters / 'called').exists()


# What is uploaded


SCRIPTS = {
    'hls': '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{video}\n#EXT-X-ENDLIST\n',
    'ffconcat': "ffconcat version 1.0\nfile '{video}'\n",
    'sdp': 'v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n',
    'dash': '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration='
    '"PT1S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{video}'
    '</BaseURL></Representation></AdaptationSet></Period></MPD>',
    'html': '<html><script>alert(1)</script><video src="{video}"></video></html>',
    'svg': '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    'text': 'no video\n',
    'empty': '',
}


@pytest.mark.parametrize('suffix', ['.mp4', ''])
@pytest.mark.parametrize('kind', SCRIPTS)
def test_what_is_no_video_inside_is_refused_whatever_its_name(visitor, local, elsewhere, converters, kind, suffix):
    url, asked = elsewhere
    suffix = suffix or {'hls': '.m3u8', 'dash': '.mpd'}.get(kind, f'.{kind}')
    for content in {SCRIPTS[kind].format(video=video) for video in (local, f'{url}/x.mp4')}:
        output = visitor.ask(visitor.upload(content.encode(), f'x{suffix}'))
        assert NO_VIDEO in output['error']
    assert asked == []
    assert not (converters / 'called').exists()


@pytest.mark.parametrize(
    'name',
    ['x.m3u8', 'x.html', 'x.svg', 'x', '.mp4', 'a' * 300, '../../x.mp4', 'http: {é} %03d;.mp4', '-i.mp4'],
)
def test_a_video_is_one_whatever_its_name(page, visitor, local, converters, name):
    output = visitor.ask(visitor.upload(local.read_bytes(), name))
    assert 'data' in output, output
    assert not (converters / 'called').exists()


@pytest.mark.parametrize('name', ['x.html', 'x.svg', 'x.xhtml', 'x.js', 'x.mp4', 'x.png'])
def test_an_upload_comes_back_inactive(visitor, name):
    answer = visitor.fetch(visitor.upload(SCRIPTS['html'].encode(), name)['path'])
    assert answer.headers['content-security-policy'] == 'sandbox'
    assert answer.headers['x-content-type-options'] == 'nosniff'
    assert answer.headers['content-type'].split(';')[0] in ('application/octet-stream', 'video/mp4', 'image/png')


# How much it is


@pytest.mark.parametrize(('width', 'height'), [(8000, 8000), (16000, 16000), (65535, 300)])
@pytest.mark.parametrize('name', ['x.gif', 'x.mp4'])
def test_a_large_canvas_is_refused_before_it_takes_memory(page, visitor, local, width, height, name):
    visitor.ask(visitor.upload(local))
    before = page.megabytes('VmHWM')
    assert NO_VIDEO in visitor.ask(visitor.upload(gif(width, height), name))['error']
    assert page.megabytes('VmHWM') < before + 50


def test_frames_count_also_where_a_file_calls_itself_short(visitor, tmp_path):
    video = write_greys(tmp_path / 'x.mp4', 4000, 16, 16, fps=10000)  # 0.4 s, it says
    assert '4000 frames' in visitor.ask(visitor.upload(Path(video)))['error']


def test_a_slow_video_counts_by_its_time(visitor, tmp_path):
    video = write_greys(tmp_path / 'x.mp4', 200, 16, 16, fps=1)
    assert 'takes 3.3 minutes' in visitor.ask(visitor.upload(Path(video)))['error']


@pytest.mark.parametrize('size', [1_100_000, 3_000_000, 30_000_000])
def test_a_large_upload_is_refused_and_leaves_nothing(page, visitor, size):
    before = len(page.files())
    answer = visitor.http.post('/gradio_api/upload', files={'files': ('x.mp4', os.urandom(size))})
    assert answer.status_code == 413
    assert 'exceed' in answer.text
    assert len(page.files()) == before


def test_a_body_without_a_length_is_refused(visitor):
    answer = visitor.http.post('/gradio_api/upload', content=iter([b'x' * 1000]))
    assert answer.status_code == 411


@pytest.mark.parametrize('route', ['queue/join', 'upload'])
@pytest.mark.parametrize(
    'heads', ['Content-Length: 5', 'Content-Length: 5\r\nTransfer-Encoding: chunked', 'Transfer-Encoding: chunked']
)
def test_no_more_comes_in_than_a_request_says(page, route, heads):
    before, files = page.megabytes(), len(page.files())
    host, port = page.address.removeprefix('http://').split(':')
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="x.mp4"\r\n\r\n'
    kind = 'multipart/form-data; boundary=b' if route == 'upload' else 'application/json'
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        head = f'POST /gradio_api/{route} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n{heads}\r\n\r\n'
        connection.sendall(head.encode())
        with suppress(OSError):  # the page hangs up
            for block in [part if route == 'upload' else b'{"x": "', *[bytes(2**20)] * 100]:
                connection.sendall(f'{len(block):x}\r\n'.encode() + block + b'\r\n')
    assert page.megabytes() < before + 50
    assert len(page.files()) == files


@pytest.mark.parametrize('fields', [{'files': 'x' * 900_000}, {'files': '', 'other': 'x'}, {'a': 'x', 'b': 'y'}])
def test_a_form_field_that_is_no_file_is_refused(page, visitor, fields):
    before = len(page.files())
    parts = [(name, (None, text.encode())) for name, text in fields.items()]
    answer = visitor.http.post('/gradio_api/upload', files=[('files', ('x.mp4', b'a file')), *parts])
    assert answer.status_code == 400
    assert 'expected files alone' in answer.text
    assert len(page.files()) == before


@pytest.mark.parametrize('number', [10**9, 2, -1, True, '0', None])
def test_a_number_of_no_sample_is_one_error(visitor, number):
    body = dict(data=[number], fn_index=visitor.functions['load_example'], session_hash=visitor.session)
    assert visitor.http.post('/gradio_api/queue/join', json=body).status_code == 200
    assert list(visitor.messages())[-1]['output']['error'] == 'This is no sample of this page.'


# How long it takes


@pytest.mark.parametrize('is_backwards', [False, True])
def test_time_counts_also_on_the_way_to_a_wanted_frame(hasty, tmp_path, is_backwards):
    path = tmp_path / 'x.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('ffv1', rate=30, options={'coder': 'range_def'})
        stream.width, stream.height, stream.pix_fmt = 4096, 2304, 'yuv420p'
        (packet,) = stream.encode(av.VideoFrame.from_ndarray(np.zeros((2304, 4096, 3), np.uint8)))
        for number in range(80):  # of 130 ms each, all said to depend on the first
            copy = av.Packet(bytes(packet))
            copy.stream, copy.time_base, copy.is_keyframe = stream, packet.time_base, number == 0
            copy.dts = round(number / 30 / packet.time_base)
            copy.pts = copy.dts if not is_backwards else round((160 - number) / 30 / packet.time_base)
            container.mux(copy)
    visitor = Visitor(hasty)
    video = visitor.upload(path)
    begun = time.monotonic()
    assert '1 seconds' in json.dumps(visitor.ask(video, 1, 1, 2))
    assert time.monotonic() - begun < 8


def test_when_time_is_up_what_is_there_is_shown(hasty, tmp_path):
    visitor = Visitor(hasty)
    video = write_greys(tmp_path / 'x.mp4', 4000, 96, 96)
    begun = time.monotonic()
    output = visitor.ask(visitor.upload(Path(video)), 1, 3, 2)
    assert time.monotonic() - begun < 15
    names, bands, attention, note = output['data']
    assert len(names['best']) == 4
    assert 0 < bands[-1]['end'] < 1
    assert attention['times'][-1] < 1
    assert '1 seconds' in note


@pytest.mark.parametrize('way', ['leave', 'cancel'])
def test_a_request_that_nobody_waits_for_is_given_up(page, visitor, tmp_path, way):
    video = visitor.upload(Path(write_greys(tmp_path / f'{way}.mp4', 3500, 16, 16)))
    event = visitor.join(video, 1, 3, 2).json()['event_id']
    for message in visitor.messages():
        if message['msg'] == 'process_generating':
            wait_for(page.is_working)
            break
    if way == 'cancel':
        body = dict(session_hash=visitor.session, fn_index=visitor.function, event_id=event)
        assert visitor.http.post('/gradio_api/cancel', json=body).status_code == 200
    visitor.http.close()
    wait_for(lambda: not page.is_working(), 5)


def test_those_who_wait_know_their_place_and_no_more_than_so_many_wait(page, tmp_path):
    first, second, last = Visitor(page), Visitor(page), Visitor(page)
    video = first.upload(Path(write_greys(tmp_path / 'x.mp4', 3500, 16, 16)))
    first.join(video, 1, 3, 4)
    wait_for(page.is_working)
    waiting = [Visitor(page) for _ in range(15)]
    for visitor in [second, *waiting]:
        assert visitor.join(video, 1, 3, 4).status_code == 200
    answer = last.join(video)
    assert answer.status_code == 503
    assert 'Queue is full' in answer.text
    place = next(message for message in waiting[-1].messages() if message['msg'] == 'estimation')
    assert (place['rank'], place['queue_size']) == (15, 16)
    for visitor in [first, second, *waiting[:-1]]:
        next(iter(visitor.messages()))  # listens, and leaves
        visitor.http.close()
    last.session += 'again'
    wait_for(lambda: last.join(video, 1, 1, 96).status_code == 200, 60)
    assert 'data' in list(last.messages())[-1]['output']


# What stays


def test_uploads_and_results_are_deleted_whatever_became_of_the_request(hasty, tmp_path):
    visitor = Visitor(hasty)
    empty = len(hasty.files())
    videos = [write_greys(tmp_path / f'{number}.mp4', 20 + number, 32, 32) for number in range(6)]
    for number, video in enumerate(videos):
        visitor.ask(visitor.upload(Path(video)))
        visitor.ask(visitor.upload(f'no video {number}'.encode()))
        visitor.upload(f'never asked {number}'.encode())
        left = Visitor(hasty)
        left.join(left.upload(Path(video).read_bytes() + bytes([number])))
        left.http.close()
    assert len(hasty.files()) > empty
    asyncio.run(break_off(hasty))
    wait_for(lambda: len(hasty.files()) <= empty)
    wait_for(lambda: not list(hasty.temporary.glob('mmtsf-page-*/*/*')))  # no folders, either
    assert NO_UPLOAD in visitor.ask({'path': f'{hasty.temporary}/mmtsf-page-x/cache/gone.mp4', 'meta': META})['error']


async def break_off(page: Served) -> None:
    """Begin an upload and leave in the middle."""
    host, port = page.address.removeprefix('http://').split(':')
    _, writer = await asyncio.open_connection(host, int(port))
    head = 'POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n'
    part = '--b\r\nContent-Disposition: form-data; name="files"; filename="x.mp4"\r\n\r\n' + 'x' * 100000
    writer.write(f'{head}Content-Length: 900000\r\n\r\n{part}'.encode())
    await writer.drain()
    wait_for(lambda: any(path.stat().st_size > 50000 for path in page.files()))
    writer.close()


def test_what_a_killed_page_left_is_deleted_by_the_next_one_to_start(hasty):
    assert not (hasty.temporary / 'mmtsf-page-killed').exists()
    assert (hasty.temporary / 'mmtsf-page-lives' / 'upload.mp4').exists()
    assert (hasty.temporary / 'mmtsf-page-notes.txt').exists()


def test_uploads_end_when_there_are_many(page, visitor):
    for number in range(1000):  # a few large ones, and then small ones, which count as more than they have
        content = f'{number}'.encode().ljust(900_000 if number < 12 else 0)
        answer = visitor.http.post('/gradio_api/upload', files={'files': (f'{number}', content)})
        if answer.status_code != 200:
            break
    assert answer.status_code == 507
    assert 'as many uploads as it may' in answer.text
