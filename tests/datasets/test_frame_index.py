"""Frames are those that decoding a whole file gives: their number, any of them, their times and their orientation."""

import gc
import os
import struct
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import pytest
from decoders import has_torchcodec, real_decoders
from helpers import SHARED
from videos import grey_frames, moving_texture, remux, write_greys, write_video

from mmtsf.datasets.decoders import BrokenVideoError, open_stream, open_video
from mmtsf.datasets.decoders.bitstream import INSPECTORS, PREDICTED, START

VIDEOS = {'.3gp', '.264', '.asf', '.avi', '.flv', '.gif', '.mkv', '.mov', '.mp4', '.mpg', '.ts', '.webm'}
#: Real files that hold no frames, or none that are fit to be used
REFUSED = {
    'Error_I_P_fd3d28.264',
    'audio_only.mp4',
    'canvas8000_12frames.gif',
    'empty.mp4',
    'sample_fragmented_sgpd_v2_8dad3f.mp4',
    'text_renamed.mp4',
    'truncated_no_moov.mp4',
}
#: Folders of ordinary videos; those of the last one lie in ``awkward`` too
ALIKE = {'camera_motion', 'fights', 'lip_words', 'ssv2_style_clips'}
USE_PYAV = "set decoder='pyav'"


def trimmed(path: Path, codec: str = 'libx264') -> str:
    """Cut as ``ffmpeg -ss 0.68 -c copy`` does: from the key frame before, with a list that hides five frames."""
    whole = write_video(
        path.with_name('whole.mp4'), moving_texture(60), fps=25, codec=codec, gop_size=12, max_b_frames=2
    )
    return remux(whole, path, first=12, shift=-17)


def cut_in_a_group(path: Path, codec: str = 'libx264') -> str:
    """A file that begins with frames that cannot be decoded."""
    whole = write_video(path.with_name(f'whole{path.suffix}'), moving_texture(60), codec=codec, gop_size=12)
    return remux(whole, path, first=7)


def with_hidden_frames(path: Path) -> str:
    options = {'auto-alt-ref': '1', 'lag-in-frames': '16', 'b': '200k'}
    return write_video(path, moving_texture(60), codec='libvpx', encoder_options=options)


def with_refresh_instead_of_key_frames(path: Path) -> str:
    options = {'x264-params': 'intra-refresh=1:keyint=12:bframes=0'}
    return write_video(path, moving_texture(60), encoder_options=options)


def with_dropped_frames(path: Path) -> str:
    times = [*range(10), *range(14, 20), *range(40, 44)]
    return write_video(path, moving_texture(len(times)), codec='mpeg4', times=times, gop_size=6)


def with_damage(path: Path, places: tuple[int, ...] = (7, 31), filling: bytes = b'\xff') -> str:
    """Packets that are overwritten."""
    write_video(path, moving_texture(60), gop_size=12)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for pos, size in (packets[place] for place in places):
        data[pos : pos + size] = filling * size
    path.write_bytes(data)
    return str(path)


def with_lost_packets(path: Path, codec: str = 'libx265', lost: tuple[int, ...] = (17, 18, 40)) -> str:
    whole = write_video(path.with_name(f'whole{path.suffix}'), moving_texture(60), codec=codec, gop_size=12)
    return remux(whole, path, without=lost)


def with_damage_in_a_slice(path: Path, codec: str = 'libx264') -> str:
    """A key frame of which 40 bytes behind its header are zero: it is shown, and what is wrong in it is concealed."""
    write_video(path, moving_texture(60), codec=codec, gop_size=12)
    with av.open(str(path)) as container:
        place = [packet.pos for packet in container.demux(video=0) if packet.size and packet.is_keyframe][2]
    data = bytearray(path.read_bytes())
    data[place + 60 : place + 100] = bytes(40)
    path.write_bytes(data)
    return str(path)


def with_a_list_of_edits(path: Path, codec: str = 'libx265') -> str:
    """Frames 2 to 30 and then 20 to 50, by an edit list of two parts."""
    write_video(path, moving_texture(60), fps=25, codec=codec, gop_size=12, max_b_frames=2)
    data = bytearray(path.read_bytes())
    place = data.index(b'elst')
    version = data[place + 4]
    with av.open(str(path)) as container:
        unit = round(1 / (25 * container.streams.video[0].time_base))
    assert version == 0
    scale = int.from_bytes(data[data.index(b'mvhd') + 16 :][:4], 'big') // 25
    edits = [struct.pack('>IiI', frames * scale, begin * unit, 0x10000) for frames, begin in ((28, 2), (30, 20))]
    parts = b''.join(edits)
    grown = struct.pack('>I4sII', 16 + len(parts), b'elst', 0, 2) + parts
    old = int.from_bytes(data[place - 4 : place], 'big')
    for box in (b'moov', b'trak', b'edts'):  # it lies in these
        start = data.index(box) - 4
        size = int.from_bytes(data[start : start + 4], 'big') + len(grown) - old
        data[start : start + 4] = size.to_bytes(4, 'big')
    data[place - 4 : place - 4 + old] = grown
    path.write_bytes(data)
    return str(path)


def without_its_end(path: Path) -> str:
    """A file whose index promises what it does not hold."""
    write_video(path, moving_texture(60), gop_size=12, movflags='faststart')
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return str(path)


def of_codec(path: Path, codec: str, **more) -> str:
    return write_video(path, moving_texture(60, 96, 128), codec=codec, gop_size=12, **more)


CASES: dict[str, Callable[[Path], str]] = {
    'trimmed.mp4': trimmed,
    'trimmed.mov': trimmed,
    'trimmed H.265.mp4': lambda path: trimmed(path, 'libx265'),
    'cut.ts': cut_in_a_group,
    'cut.mkv': cut_in_a_group,
    'cut H.265.ts': lambda path: cut_in_a_group(path, 'libx265'),
    'cut MPEG-2.ts': lambda path: cut_in_a_group(path, 'mpeg2video'),
    'cut.264': cut_in_a_group,
    'hidden.webm': with_hidden_frames,
    'refresh.mp4': with_refresh_instead_of_key_frames,
    'refresh.mkv': with_refresh_instead_of_key_frames,
    'dropped.avi': with_dropped_frames,
    'dropped.mkv': with_dropped_frames,
    'damaged.mp4': with_damage,
    'damaged.mkv': with_damage,
    'first damaged.mp4': lambda path: with_damage(path, (0,)),
    'zeros.mp4': lambda path: with_damage(path, (20, 21), b'\0'),
    'half.mp4': without_its_end,
    'lost.mp4': with_lost_packets,
    'lost.ts': with_lost_packets,
    'lost H.264.mkv': lambda path: with_lost_packets(path, 'libx264'),
    'slice.mp4': with_damage_in_a_slice,
    'slice.mkv': with_damage_in_a_slice,
    'slice H.265.mp4': lambda path: with_damage_in_a_slice(path, 'libx265'),
    'edits.mp4': with_a_list_of_edits,
    'edits H.264.mp4': lambda path: with_a_list_of_edits(path, 'libx264'),
    'H.263.3gp': lambda path: of_codec(path, 'h263'),
    'MS-MPEG-4.asf': lambda path: of_codec(path, 'msmpeg4v2'),
    'WMV.asf': lambda path: of_codec(path, 'wmv2'),
    'Sorenson.flv': lambda path: of_codec(path, 'flv'),
    'MPEG-4.avi': lambda path: of_codec(path, 'mpeg4'),
    'MPEG-4 B.avi': lambda path: of_codec(path, 'mpeg4', max_b_frames=2),
    'H.264.avi': lambda path: of_codec(path, 'libx264'),
    'MPEG-2.mpg': lambda path: of_codec(path, 'mpeg2video', max_b_frames=2),
    'MPEG-1.mpg': lambda path: of_codec(path, 'mpeg1video', max_b_frames=2),
    'open.mkv': lambda path: of_codec(path, 'libx265', max_b_frames=2),
    'open H.264.mkv': lambda path: of_codec(
        path, 'libx264', max_b_frames=2, encoder_options={'x264-params': 'open-gop=1'}
    ),
    'VP9.webm': lambda path: of_codec(path, 'libvpx-vp9'),
    'Theora.ogv': lambda path: of_codec(path, 'libtheora'),
    'AV1.mkv': lambda path: of_codec(path, 'libsvtav1'),
    'Motion JPEG.mov': lambda path: of_codec(path, 'mjpeg', pixels='yuvj420p'),
    'FFV1.mkv': lambda path: of_codec(path, 'ffv1'),
}


@lru_cache(maxsize=1)
def decode_whole(path: str) -> tuple[list[np.ndarray], list[float | None], bool]:
    """Frames and times of PyAV's plain loop, which goes on behind a packet that is damaged, by one thread; and whether
    a display matrix turns them."""
    frames, times, is_turned = [], [], False
    with av.open(path, metadata_errors='ignore') as container:
        stream = container.streams[open_stream(path).index]
        stream.codec_context.thread_count = 1
        start = (container.start_time or 0) / av.time_base
        for packet in container.demux(stream):
            try:
                for frame in packet.decode():
                    frames.append(frame.to_ndarray(format='rgb24'))
                    times.append(None if frame.pts is None else frame.time - start)
                    is_turned = frame.side_data.get('DISPLAYMATRIX') is not None
            except av.FFmpegError:
                pass
    return frames, times, is_turned


def check_subsets(path: str, decoder: str) -> None:
    frames, times, is_turned = decode_whole(path)
    reader = open_video(path, decoder)
    assert reader.num_frames == len(frames)
    assert len(reader.times) == len(frames) + 1
    assert (np.diff(reader.times) > 0).all()
    if None not in times and sorted(set(times)) == times:
        begin = reader.times[0] - times[0] if path.endswith('.avi') else 0  # it keeps no times of presentation
        assert np.abs(reader.times[:-1] - times - begin).max() < 2e-3
    order = np.random.default_rng(0).permutation(len(frames))
    subsets = np.split(order, np.cumsum(range(1, 12)))[: 11 if len(frames) * frames[0].size < 2e7 else 4]
    for indices in filter(len, subsets):  # of one frame, two, and so on
        read = reader.read(indices)
        if read.shape[1:] != frames[0].shape or is_turned:
            continue  # there is a test of its own
        if decoder != 'decord':
            assert all(np.array_equal(frame, frames[i]) for frame, i in zip(read, indices)), indices
        else:  # it converts colours in its own way
            assert max(np.abs(f.astype(int) - frames[i]).mean() for f, i in zip(read, indices)) < 4, indices


@pytest.mark.parametrize('name', CASES)
def test_any_frames_are_rows_of_a_full_decode(name, tmp_path):
    path = tmp_path / name
    try:
        CASES[name](path)
    except av.codec.codec.UnknownCodecError:
        pytest.skip('FFmpeg has no such encoder')
    check_subsets(str(path), 'pyav')
    if name.startswith('slice'):  # others conceal in their own way, and do not tell
        return
    for decoder in ['decord', 'torchcodec'][: 1 + has_torchcodec()]:
        try:
            open_video(str(path), decoder).read(np.array([0]))
        except BrokenVideoError as error:
            assert USE_PYAV in str(error)  # noqa: PT017
        else:
            check_subsets(str(path), decoder)


def shared_videos() -> list:
    """Real videos, of those that are alike some; those of many bytes or pixels take long."""
    found = [p for p in sorted((SHARED / 'data').rglob('*')) if p.suffix.lower() in VIDEOS]
    alike = {p for p in found if p.relative_to(SHARED / 'data').parts[0] in ALIKE}
    some = sorted(set(found) - alike) + sorted(alike)[::100]
    long = [p for p in some if p.stat().st_size > 500_000 or '1080p' in p.name]
    return [pytest.param(p, id=p.name, marks=[pytest.mark.long] if p in long else []) for p in some]


@pytest.mark.skipif(not SHARED.is_dir(), reason='needs ../shared')
@real_decoders
@pytest.mark.parametrize('path', shared_videos())
def test_any_frames_of_a_real_file_are_rows_of_a_full_decode(path, decoder):
    try:
        open_video(str(path), decoder).read(np.array([0]))
    except BrokenVideoError as error:
        assert path.name in REFUSED if decoder == 'pyav' else USE_PYAV in str(error) or path.name in REFUSED  # noqa: PT017
    else:
        assert path.name not in REFUSED
        check_subsets(str(path), decoder)


#: The first row of a display matrix, the second one, and where the quarters of a frame, 0 1 / 2 3, are shown
ORIENTATIONS = [
    ((1, 0), (0, 1), [[0, 1], [2, 3]]),
    ((-1, 0), (0, 1), [[1, 0], [3, 2]]),
    ((1, 0), (0, -1), [[2, 3], [0, 1]]),
    ((-1, 0), (0, -1), [[3, 2], [1, 0]]),
    ((0, 1), (1, 0), [[0, 2], [1, 3]]),
    ((0, 1), (-1, 0), [[2, 0], [3, 1]]),
    ((0, -1), (1, 0), [[1, 3], [0, 2]]),
    ((0, -1), (-1, 0), [[3, 1], [2, 0]]),
    ((0, 0), (0, 0), [[0, 1], [2, 3]]),
    ((1, 0), (1, 0), [[0, 1], [2, 3]]),
]


def set_matrix(path: Path, first: tuple[int, int], second: tuple[int, int]) -> None:
    """Write another matrix into the track header of an MP4 file."""
    data = bytearray(path.read_bytes())
    place = data.index(b'tkhd') + 4 + 4 + 20 + 16  # version, times and identity, reserved to volume
    a, b, c, d = (value * 2**16 for value in (*first, *second))
    struct.pack_into('>9i', data, place, a, b, 0, c, d, 0, 0, 0, 2**30)
    path.write_bytes(data)


@real_decoders
@pytest.mark.parametrize(('first', 'second', 'shown'), ORIENTATIONS)
def test_a_display_matrix_turns_and_mirrors_frames(first, second, shown, decoder, tmp_path):
    quarters = np.kron([[0, 1], [2, 3]], np.ones((32, 64)))[..., None].repeat(3, axis=2)
    path = tmp_path / 'video.mp4'
    write_video(path, [(30 + 60 * quarters).astype(np.uint8)] * 3)
    set_matrix(path, first, second)
    try:
        reader = open_video(str(path), decoder)
    except BrokenVideoError as error:
        is_mirrored = first[0] * second[1] - first[1] * second[0] < 0
        assert (decoder != 'pyav', is_mirrored, USE_PYAV in str(error)) == (True, True, True)  # noqa: PT017
        return
    frame = reader.read(np.array([1]))[0]
    height, width = frame.shape[:2]
    assert (
        width > height
        if shown in ([[0, 1], [2, 3]], [[1, 0], [3, 2]], [[2, 3], [0, 1]], [[3, 2], [1, 0]])
        else height > width
    )
    corners = frame[height // 4 :: height // 2, width // 4 :: width // 2, 0].astype(float)
    assert ((corners - 30) / 60).round().tolist() == shown


def test_times_are_those_of_presentation(tmp_path):
    times = [*range(50), *range(300, 350)]  # at 25 a second: 0 to 2 s, and 12 to 14 s
    path = write_greys(tmp_path / 'pause.mp4', 100, fps=25, times=times)
    reader = open_video(path)
    assert reader.times == pytest.approx(np.array([*times, 350]) / 25)
    assert reader.fps == pytest.approx(99 / (349 / 25), rel=0.01)


def test_a_rate_that_the_header_tells_wrongly_is_that_of_the_times(tmp_path):
    path = write_greys(tmp_path / 'video.mkv', 30, fps=1000, times=[33 * i for i in range(30)])
    with av.open(path) as container:
        assert container.streams.video[0].average_rate > 100
    assert open_video(path).fps == pytest.approx(1000 / 33)


def test_a_transport_stream_begins_at_its_first_second(tmp_path):
    reader = open_video(write_greys(tmp_path / 'video.ts', 30, fps=30))
    with av.open(reader.path) as container:
        assert container.start_time > 0
    assert reader.times[[0, 15]] == pytest.approx([0, 0.5], abs=1e-3)


@pytest.mark.parametrize(
    ('sizes', 'lengths', 'taken'),
    [
        (((18, 90), (64, 128)), (20, 20), 1),
        (((64, 128), (18, 90)), (20, 20), 0),
        (((64, 128), (64, 128)), (10, 20), 1),
        (((256, 256), (64, 128)), (1, 20), 1),
    ],
    ids=['a preview first', 'a preview last', 'the longer', 'a cover'],
)
@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.avi'])
def test_the_film_is_taken_of_several_streams(sizes, lengths, taken, suffix, tmp_path):
    path = write_video(tmp_path / f'video{suffix}', *(grey_frames(n, *size) for n, size in zip(lengths, sizes)))
    reader = open_video(path)
    assert reader.num_frames == lengths[taken]
    assert reader.read(np.array([0])).shape[1:3] == sizes[taken]


@real_decoders
def test_an_encrypted_file_is_refused_by_name(decoder, tmp_path):
    key = dict(encryption_scheme='cenc-aes-ctr', encryption_key='76a6c65c5ea762046bd749a2e632ccbb')
    path = write_greys(tmp_path / 'video.mp4', 10, **key, encryption_kid='a7e61c373e219033c21091fa607bf3b8')
    with pytest.raises(BrokenVideoError, match='it is encrypted'):
        open_video(path, decoder)


def test_a_file_of_damage_alone_is_refused_when_it_is_opened(tmp_path):
    path = with_damage(tmp_path / 'video.mp4', tuple(range(60)))
    with pytest.raises(BrokenVideoError, match='no frame of it can be decoded'):
        open_video(path)


def test_a_frame_that_is_found_damaged_while_reading_is_that_before_it(tmp_path, monkeypatch):
    """As where damage lies within a picture whose header is whole."""
    path = with_damage(tmp_path / 'video.mp4', (7, 31))
    monkeypatch.setitem(INSPECTORS, 'h264', lambda data, size: START if data[4] & 31 in (5, 6, 7) else PREDICTED)
    frames, _, _ = decode_whole(path)
    reader = open_video(path)
    read = reader.read(np.arange(reader.num_frames))
    known = {frame.tobytes() for frame in frames}
    assert len(frames) < reader.num_frames
    assert all(frame.tobytes() in known for frame in read)
    assert reader.num_lost > 0
    again = np.concatenate([reader.read(np.array([i])) for i in range(reader.num_frames)])
    assert np.array_equal(read, again)


def test_a_reader_that_is_dropped_leaves_no_file_open(tmp_path):
    for name, how in (('a.mp4', {}), ('b.avi', dict(codec='mpeg4', max_b_frames=2))):
        write_greys(tmp_path / name, 10, **how)
    gc.disable()
    try:
        before = len(os.listdir('/proc/self/fd'))
        for decoder in ['pyav', 'decord', 'torchcodec'][: 2 + has_torchcodec()]:
            open_video(str(tmp_path / 'a.mp4'), decoder)
        open_video(str(tmp_path / 'b.avi')).read(np.array([3]))
        with pytest.raises(BrokenVideoError):
            open_video(str(tmp_path / 'b.avi'), 'decord')
        assert len(os.listdir('/proc/self/fd')) == before
    finally:
        gc.enable()


def test_a_stream_without_a_decoder_is_a_broken_video(tmp_path):
    path = of_codec(tmp_path / 'video.ts', 'libvpx')
    with pytest.raises(BrokenVideoError, match='PyAV finds no video that it can decode'):
        open_video(path)


def test_only_groups_of_pictures_with_wanted_frames_are_decoded(tmp_path):
    path = write_video(tmp_path / 'video.mp4', moving_texture(90), gop_size=15, max_b_frames=2)
    decoded = []
    reader = open_video(path)
    usual = reader._decode
    reader._decode = lambda *args: (decoded.append(frame) or frame for frame in usual(*args))
    reader.read(np.array([89]))
    assert 1 <= len(decoded) < 15  # one group of 15, less the frames that none refers to
