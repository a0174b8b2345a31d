"""Local files are plain media: they name no other file, are no address, and are no larger than the limits."""

import os
import resource
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from threading import Thread

import av
import cv2
import numpy as np
import pytest
from decoders import decoders, real_decoders
from videos import grey_frames, numbers_of, write_greys, write_video

from mmtsf.datasets.decoders import BrokenVideoError, Limits, open_video

LARGE = 6400  # pixels of a side; a square of them is more than 8K has
MOST = 130  # MB that opening may take; one such frame has 61 MB, in RGB 123 MB

PLAYLISTS = {
    'hls': '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{video}\n#EXT-X-ENDLIST\n',
    'hls_of_http': '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}/a.ts\n#EXT-X-ENDLIST\n',
    'hls_of_a_relative_path': '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother/a.mp4\n#EXT-X-ENDLIST\n',
    'hls_after_a_mark': '\ufeff#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{video}\n#EXT-X-ENDLIST\n',
    'hls_after_spaces': '\n \n#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:{video}\n#EXT-X-ENDLIST\n',
    'hls_of_streams': '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\n{address}/b.m3u8\n',
    'ffconcat': "ffconcat version 1.0\nfile 'other/a.mp4'\n",
    'concat': "file '{video}'\n",
    'dash': '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-'
    'live:2011" type="static"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="9">'
    '<BaseURL>{address}/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>\n',
    'sdp': 'v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n'
    'a=rtpmap:96 H264/90000\n',
    'asx': '<asx version="3.0"><entry><ref href="{address}/a.mp4"/></entry></asx>\n',
    'pls': '[playlist]\nFile1={address}/a.mp4\nNumberOfEntries=1\n',
    'ram': '{address}/a.mp4\n',
    'smil': '<smil><body><video src="{address}/a.mp4"/></body></smil>\n',
    'metadata': ';FFMETADATA1\ntitle={video}\n',
    'graph': 'movie={video}\n',
}


@pytest.fixture(scope='module')
def running_server() -> Iterator[ThreadingHTTPServer]:
    """A server on this machine that notes what is asked of it."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.server.requests.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def server(running_server: ThreadingHTTPServer) -> ThreadingHTTPServer:
    running_server.requests = []
    return running_server


def write_playlist(folder: Path, kind: str, suffix: str, server: ThreadingHTTPServer) -> Path:
    """Write a file that names a video in ``other`` beside it, or one of the server."""
    (folder / 'other').mkdir(exist_ok=True)
    video = write_greys(folder / 'other/a.mp4', 4)
    port = server.server_port
    path = folder / f'x{suffix}'
    path.write_text(PLAYLISTS[kind].format(video=video, address=f'http://127.0.0.1:{port}', port=port))
    return path


@pytest.mark.parametrize(('kind', 'suffix'), [('hls', '.m3u8'), ('hls_of_a_relative_path', '.m3u8'), ('ffconcat', '')])
def test_ffmpeg_by_itself_follows_playlists(kind, suffix, server, tmp_path):
    with av.open(str(write_playlist(tmp_path, kind, suffix, server))) as container:
        assert next(container.decode(video=0)).width == 128


@decoders
@pytest.mark.parametrize('suffix', ['.m3u8', '.mp4', '.ts', '.webm', '.avi', '.gif', '.mpd', '.sdp', '.txt', ''])
@pytest.mark.parametrize('kind', list(PLAYLISTS))
def test_a_file_that_names_others_is_refused_and_they_are_not_touched(kind, suffix, decoder, server, tmp_path):
    path = write_playlist(tmp_path, kind, suffix, server)
    with pytest.raises(BrokenVideoError) as error:
        open_video(str(path), decoder)
    assert error.value.reason.startswith(('it is no video but text', 'PyAV finds no video that it can decode'))
    assert server.requests == []


@decoders
def test_a_playlist_that_is_a_transport_stream_too_is_refused_by_others(decoder, tmp_path):
    path = tmp_path / 'x.ts'
    stream = Path(write_greys(path, 20)).read_bytes()
    path.write_bytes(b'#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother.ts\n'.ljust(188, b'\xff') + stream)
    if decoder in ('decord', 'torchcodec'):  # which may be of an age that looks at the beginning alone
        with pytest.raises(BrokenVideoError, match=f"{decoder} may take it for a list of files; set decoder='pyav'"):
            open_video(str(path), decoder)
    else:
        assert numbers_of(open_video(str(path)).read(np.array([0, 19]))) == [0, 19]


@decoders
@pytest.mark.parametrize(
    'name',
    [
        '12:30:00.mp4',
        'http:/127.0.0.1:{port}/a.mp4',
        'http://127.0.0.1:{port}/a.mp4',
        'file:/a.mp4',
        'subfile,,start,0,end,9,,:/a.mp4',
        'subfile,,start,0,end,9,,:other.mp4',
        'concat:other.mp4|other.mp4',
        'concatf:other.mp4',
        'pipe:0.mp4',
        'crypto:other.mp4',
        'data:video;base64,AAAA.mp4',
        'cache:http:/127.0.0.1:{port}/a.mp4',
        'async:other.mp4',
        'tee:other.mp4',
        '-',
        '-x.mp4',
        'a?b#c%20d%.mp4',
        'new\nline.mp4',
        'a%03d.mp4',
        '*.mp4',
    ],
)
def test_names_are_names_of_files_and_never_addresses(name, decoder, server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_greys('other.mp4', 3, 32, 32)
    plain = Path(write_greys(tmp_path / 'plain.mp4', 20))
    path = name.format(port=server.server_port)
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    plain.rename(tmp_path / path)
    assert numbers_of(open_video(path, decoder).read(np.array([0, 19]))) == [0, 19]
    assert server.requests == []


def test_a_name_that_is_a_pattern_of_names_stands_for_one_file(tmp_path):
    for name, number in (('a%03d.gif', 5), ('a001.gif', 9)):
        write_gif(tmp_path / name, grey_frames(number + 1)[number:])
    assert numbers_of(open_video(str(tmp_path / 'a%03d.gif')).read(np.array([0]))) == [5]
    with pytest.raises(BrokenVideoError, match="decord may take it for a list of files; set decoder='pyav'"):
        open_video(str(tmp_path / 'a%03d.gif'), 'decord')


def write_gif(path: Path, frames: list[np.ndarray]) -> None:
    with av.open(str(path.with_name('plain.gif')), 'w') as container:
        stream = container.add_stream('gif', rate=10)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], 'gray'
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame[..., 0].copy(), format='gray')))
        container.mux(stream.encode())
    path.with_name('plain.gif').rename(path)


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def loop_of_two(path: Path) -> None:
    path.symlink_to(path.with_name('two'))
    path.with_name('two').symlink_to(path)


def leave_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


NO_FILES = {
    'a FIFO': (os.mkfifo, 'it is no regular file'),
    'a link to a device': (lambda path: path.symlink_to('/dev/zero'), 'it is no regular file'),
    'a socket': (leave_socket, 'it is no regular file'),
    'a link to itself': (link_to_itself, 'the file cannot be opened: Too many levels of symbolic links'),
    'a loop of two': (loop_of_two, 'the file cannot be opened: Too many levels of symbolic links'),
    'a link to nothing': (lambda path: path.symlink_to('none'), 'the file does not exist'),
}


@decoders
@pytest.mark.parametrize('kind', list(NO_FILES))
def test_what_is_no_regular_file_is_refused_at_once(kind, decoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, words = NO_FILES[kind]
    make(Path('x.mp4'))
    start = time.monotonic()
    with pytest.raises(BrokenVideoError) as error:
        open_video('x.mp4', decoder)
    assert error.value.reason == words
    assert time.monotonic() - start < 1


@pytest.mark.parametrize('kind', list(NO_FILES))
def test_what_is_no_regular_file_is_no_frame_and_is_named(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, frame in enumerate(grey_frames(3)):
        cv2.imwrite(f'{number}.png', frame)
    NO_FILES[kind][0](Path('1x.png'))
    with pytest.warns(UserWarning, match='1x.png is no regular file, and is not taken for a frame'):
        reader = open_video(str(tmp_path))
    assert numbers_of(reader.read(np.arange(3))) == [0, 1, 2]


def test_a_name_that_no_file_can_have_is_refused():
    with pytest.raises(BrokenVideoError, match='the file cannot be opened: embedded null byte'):
        open_video('a\0b.mp4')


def frame_of_zeros(codec: str, path: Path, pix_fmt: str = 'yuv420p', side: int = LARGE, count: int = 1) -> Path:
    """Encode dark frames of a size; what is all the same takes few bytes."""
    options = {'preset': 'ultrafast', 'x264-params': 'bframes=0'} if codec == 'libx264' else {}
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height = stream.width = side
        stream.pix_fmt = pix_fmt
        frame = av.VideoFrame(side, side, pix_fmt)
        for plane in frame.planes:
            np.frombuffer(plane, np.uint8)[:] = 16
        for number in range(count):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def with_suffix(path: Path, suffix: str) -> Path:
    """The same packets in another container."""
    target = path.with_suffix(suffix)
    with av.open(str(path)) as source, av.open(str(target), 'w') as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return target


def write_canvas(path: Path, side: int = 8000, count: int = 12) -> Path:
    """A GIF of a few hundred bytes with a large canvas and frames of one pixel."""
    head = b'GIF89a' + struct.pack('<HHBBB', side, side, 0x80, 0, 0) + b'\0\0\0\xff\xff\xff'
    frame = b'\x21\xf9\x04\0\x0a\0\0\0\x2c' + struct.pack('<HHHHB', 0, 0, 1, 1, 0) + b'\x02\x02\x44\x01\0'
    path.write_bytes(head + frame * count + b'\x3b')
    return path


def write_png(path: Path, side: int = 16000) -> Path:
    """A PNG of a few kilobytes with many pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))

    rows = zlib.compress(bytes(side * (side // 8 + 1)), 9)
    header = chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, 1, 0, 0, 0, 0))
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + header + chunk(b'IDAT', rows) + chunk(b'IEND', b''))
    return path


@pytest.fixture(scope='module')
def bombs(tmp_path_factory) -> dict[str, Path]:
    """Small files with frames of more than 8K, by what they are."""
    folder = tmp_path_factory.mktemp('bombs')
    h264 = frame_of_zeros('libx264', folder / 'h264.mp4', count=2)
    small = frame_of_zeros('libx264', folder / 'small.mp4', side=64, count=30)
    for suffix in ('.h264', '.ts', '.flv', '.mkv'):
        with_suffix(h264, suffix)
    for suffix in ('.h264', '.ts'):
        parts = [with_suffix(small, suffix).read_bytes(), h264.with_suffix(suffix).read_bytes()]
        (folder / f'growing{suffix}').write_bytes(b''.join(parts))
    (folder / 'frames').mkdir()
    for number in range(2):
        write_png(folder / f'frames/{number}.png')
    files = {path.name: path for path in folder.iterdir() if path.name != 'small' + path.suffix}
    files['canvas.gif'] = write_canvas(folder / 'canvas.gif')
    files['canvas.mp4'] = write_canvas(folder / 'canvas.mp4', 16000, 2)
    files['one.png'] = write_png(folder / 'one.png')
    files['mjpeg.avi'] = frame_of_zeros('mjpeg', folder / 'mjpeg.avi', 'yuvj420p')
    files['mpeg.mpg'] = frame_of_zeros('mpeg2video', folder / 'mpeg.mpg', side=6400)
    return files


def growth(work: Callable[[], None]) -> tuple[float, str]:
    """MB by which a process grows at its largest, and what it says if it refuses a video."""
    mother, child = get_context('fork').Pipe()

    def run() -> None:
        before, reason = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, ''
        try:
            work()
        except BrokenVideoError as error:
            reason = error.reason
        child.send(((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, reason))

    process = get_context('fork').Process(target=run)
    process.start()
    assert mother.poll(60)
    found = mother.recv()
    process.join()
    return found


def read_all(path: Path, decoder: str, limits: Limits = Limits()) -> None:
    reader = open_video(str(path), decoder, limits)
    for _ in reader.stream(np.arange(reader.num_frames)):
        pass


NAMES = ['h264.mp4', 'h264.h264', 'h264.ts', 'h264.flv', 'h264.mkv', 'canvas.gif', 'canvas.mp4', 'one.png']
NAMES += ['mjpeg.avi', 'mpeg.mpg', 'frames']


@real_decoders
@pytest.mark.parametrize('name', NAMES)
def test_frames_of_more_than_8k_are_refused_before_memory_is_taken(name, decoder, bombs):
    megabytes, reason = growth(lambda: read_all(bombs[name], decoder))
    assert 'limits.frame_pixels allows' in reason
    assert megabytes < MOST


@pytest.mark.parametrize('name', ['growing.h264', 'growing.ts'])
def test_frames_that_become_too_large_in_mid_stream_are_not_decoded(name, bombs):
    megabytes, reason = growth(lambda: read_all(bombs[name], 'pyav'))
    assert reason
    assert megabytes < MOST


def test_8k_passes_and_a_square_of_8000_does_not():
    limits = Limits()
    for width, height in ((7680, 4320), (8192, 4096), (8192, 4320), (4320, 7680)):
        limits.check_frame('x.mp4', width, height)
    with pytest.raises(BrokenVideoError, match='its frames have 8000 x 8000 pixels, limits.frame_pixels allows 35389'):
        limits.check_frame('x.mp4', 8000, 8000)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


@pytest.mark.parametrize('name', [b'zTXt', b'iCCP'])
def test_packed_texts_of_an_image_are_not_unpacked(name, tmp_path):
    packer = zlib.compressobj()
    packed = b''.join(packer.compress(bytes(2**20)) for _ in range(256)) + packer.flush()
    image = cv2.imencode('.png', np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    (tmp_path / 'x.mp4').write_bytes(image[:33] + chunk(name, b'a\0\0' + packed) + image[33:])
    megabytes, reason = growth(lambda: read_all(tmp_path / 'x.mp4', 'pyav'))
    assert 'its texts and colour profile have more than' in reason
    assert megabytes < MOST


def test_a_file_of_any_length_is_not_read_as_a_frame(tmp_path):
    (tmp_path / 'frames').mkdir()
    path = tmp_path / 'frames/1.png'
    path.write_bytes(cv2.imencode('.png', np.zeros((64, 64, 3), np.uint8))[1].tobytes()[:33])
    os.truncate(path, 3 * 2**30)
    megabytes, reason = growth(lambda: read_all(tmp_path / 'frames', 'pyav'))
    assert '1.png is larger than an image of limits.frame_pixels' in reason
    assert megabytes < MOST


def test_chunks_of_sound_make_no_long_index(tmp_path):
    path = tmp_path / 'sound.mov'
    with av.open(str(path), 'w') as out:
        video, sound = out.add_stream('mpeg4', rate=25), out.add_stream('pcm_s16le', rate=8000, layout='mono')
        video.width = video.height = 64
        for _ in range(8):
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), 'rgb24')))
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 320), np.int16), 's16', 'mono')
            frame.rate = 8000
            out.mux(sound.encode(frame))
        out.mux(video.encode())
    read_all(path, 'pyav')
    data = bytearray(path.read_bytes())
    place = data.rfind(b'stsc')
    data[place + 16 : place + 20] = (2**31 - 1).to_bytes(4, 'big')
    path.write_bytes(data)
    megabytes, reason = growth(lambda: read_all(path, 'pyav'))
    assert 'its index is longer than limits.frames allows' in reason
    assert megabytes < MOST


@decoders
def test_a_line_that_scaling_makes_huge_is_refused(decoder, tmp_path):
    path = tmp_path / 'wide.mkv'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('ffv1', rate=25)
        stream.width, stream.height, stream.pix_fmt = 60000, 1, 'bgr0'
        for _ in range(4):
            frame = av.VideoFrame.from_ndarray(np.zeros((1, 60000, 3), np.uint8), 'rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(BrokenVideoError, match='60000 x 1 pixels, limits.aspect allows sides of 1 to 32'):
        open_video(str(path), decoder)


@decoders
@pytest.mark.parametrize('source', ['file', 'folder'])
@pytest.mark.parametrize(
    ('limits', 'words'),
    [
        (dict(frame_pixels=64 * 128 - 1), 'limits.frame_pixels allows'),
        (dict(frames=9), 'it has more frames than limits.frames allows, 9'),
        (dict(sample_pixels=4 * 64 * 128), 'are too many pixels to read at once, limits.sample_pixels allows 32768'),
    ],
)
def test_limits_hold_for_files_and_folders(source, limits, words, decoder, tmp_path):
    path = tmp_path / source
    if source == 'file':
        write_greys(tmp_path / 'file.mp4', 10)
        (tmp_path / 'file.mp4').rename(path)
    else:
        path.mkdir()
        for number, frame in enumerate(grey_frames(10)):
            cv2.imwrite(str(path / f'{number}.png'), frame)
    with pytest.raises(BrokenVideoError) as error:
        open_video(str(path), decoder, Limits(**limits)).read(np.arange(5))
    assert words in error.value.reason
    exact = Limits(frame_pixels=64 * 128, frames=10, sample_pixels=5 * 64 * 128)
    assert numbers_of(open_video(str(path), decoder, exact).read(np.arange(5))) == list(range(5))


@pytest.mark.parametrize('value', [0, -1, 1.5, '9', None, True])
def test_a_limit_is_a_number(value):
    with pytest.raises(ValueError, match=f'limits.frames is {value!r}, expected an integer of at least 1'):
        Limits(frames=value)


@decoders
def test_frames_are_counted_whatever_length_the_header_tells(decoder, tmp_path):
    with av.open(str(tmp_path / 'x.mp4'), 'w') as container:
        stream = container.add_stream('libx264', rate=90000, options={'preset': 'ultrafast'})
        stream.height = stream.width = 32
        stream.pix_fmt, stream.codec_context.time_base = 'yuv420p', Fraction(1, 90000)
        for number in range(2000):
            frame = av.VideoFrame(32, 32, 'yuv420p')
            frame.pts, frame.time_base = number, Fraction(1, 90000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(tmp_path / 'x.mp4')) as container:
        assert container.duration / av.time_base < 0.1
    with pytest.raises(BrokenVideoError, match='it has more frames than limits.frames allows, 1999'):
        open_video(str(tmp_path / 'x.mp4'), decoder, Limits(frames=1999))
    assert open_video(str(tmp_path / 'x.mp4'), decoder, Limits(frames=2000)).num_frames == 2000


def patched(path: Path, name: bytes, offset: int, *numbers: int) -> None:
    """Write numbers into a box of an MP4 file, so far behind its name."""
    data = bytearray(path.read_bytes())
    place = data.index(name) + offset
    data[place : place + 4 * len(numbers)] = struct.pack(f'>{len(numbers)}I', *numbers)
    path.write_bytes(data)


def ask_for_samples(path: Path, count: int) -> None:
    """Say that there are so many samples of one size each."""
    write_greys(path, 3)
    patched(path, b'stsz', 8, 1, count)


def ask_for_samples_in_a_fragment(path: Path, count: int) -> None:
    write_video(path, grey_frames(3), movflags='frag_keyframe+empty_moov')
    patched(path, b'trun', 4, 1, count)


def ask_for_edits(path: Path, count: int) -> None:
    """Say that the video of many frames is to be shown over and over."""
    write_greys(path, 1000, 16, 16)
    data = bytearray(path.read_bytes())
    start = data.index(b'elst') - 4
    (size,) = struct.unpack('>I', data[start : start + 4])
    entries = bytes(data[start + 16 : start + 28]) * (count // 1000)
    grow = len(entries) + 16 - size
    for name in (b'moov', b'trak', b'edts', b'elst'):
        place = data.index(name) - 4
        (old,) = struct.unpack('>I', data[place : place + 4])
        data[place : place + 4] = struct.pack('>I', old + grow)
    data[start + 12 : start + size] = struct.pack('>I', count // 1000) + entries
    path.write_bytes(data)


def ask_for_samples_of_many_tracks(path: Path, count: int) -> None:
    """Repeat a track, each with a part of the samples."""
    ask_for_samples(path, count // 10)
    data = path.read_bytes()
    start = data.index(b'trak') - 4
    (size,) = struct.unpack('>I', data[start : start + 4])
    moov = data.index(b'moov') - 4
    (old,) = struct.unpack('>I', data[moov : moov + 4])
    grown = struct.pack('>I', old + 9 * size)
    path.write_bytes(
        data[:moov] + grown + data[moov + 4 : start] + 10 * data[start : start + size] + data[start + size :]
    )


@decoders
@pytest.mark.parametrize(
    'ask', [ask_for_samples_of_many_tracks, ask_for_samples, ask_for_samples_in_a_fragment, ask_for_edits]
)
def test_an_index_that_asks_for_millions_of_entries_is_refused(ask, decoder, tmp_path):
    ask(tmp_path / 'x.mp4', 20_000_000)
    assert (tmp_path / 'x.mp4').stat().st_size < 300_000
    megabytes, reason = growth(lambda: read_all(tmp_path / 'x.mp4', decoder))
    assert reason == 'its index is longer than limits.frames allows, 2000000'
    assert megabytes < 20


def test_an_index_of_sound_may_be_long(tmp_path):
    with av.open(str(tmp_path / 'x.mov'), 'w') as container:
        video = container.add_stream('libx264', rate=25)
        video.height = video.width = 64
        video.pix_fmt = 'yuv420p'
        sound = container.add_stream('pcm_s16le', rate=48000, layout='mono')
        for frame in grey_frames(5, 64, 64):
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        for _ in range(30):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.int16), format='s16', layout='mono')
            silence.sample_rate = 48000
            container.mux(sound.encode(silence))
        for stream in (video, sound):
            container.mux(stream.encode())
    assert numbers_of(open_video(str(tmp_path / 'x.mov'), limits=Limits(frames=5)).read(np.arange(5))) == list(range(5))


def test_a_compressed_index_is_refused(tmp_path):
    path = Path(write_greys(tmp_path / 'x.mov', 3))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b'moov') - 4] + struct.pack('>I4sI4s8x', 24, b'moov', 16, b'cmov'))
    with pytest.raises(BrokenVideoError, match='its index is compressed; write it anew'):
        open_video(str(path))
