"""Videos rewritten for fast access show what they showed before, and a run survives what happens to long runs."""

import json
import multiprocessing
import os
import re
import signal
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from runs import in_process
from videos import numbers_of, write_greys, write_silence, write_video

from mmtsf.datasets.decoders import open_video
from mmtsf.preparation import transcode as tool


@pytest.fixture
def transcode():
    """The command, in this process: returns its exit status, or raises."""

    def transcode(*words: object) -> int | None:
        return in_process('transcode', *words, '--workers', 2)

    return transcode


@pytest.fixture
def source(tmp_path) -> Path:
    """Folder with three videos of 5, 6 and 7 frames."""
    for folder in ('one', 'two words'):
        (tmp_path / 'source' / folder).mkdir(parents=True)
    write_greys(tmp_path / 'source/one/a.mp4', 5)
    write_greys(tmp_path / 'source/one/b.AVI', 6, codec='mpeg4')
    write_greys(tmp_path / 'source/two words/c 1.mkv', 7)
    return tmp_path / 'source'


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / 'out'


def frames_of(path: Path) -> np.ndarray:
    """All frames ``(N, H, W, 3)``."""
    reader = open_video(str(path))
    return reader.read(np.arange(reader.num_frames))


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file()}


def waves(num_frames: int, height: int, width: int) -> list[np.ndarray]:
    """Frames ``(H, W, 3)`` of coloured waves that move to the right."""
    y, x, _ = np.ogrid[:height, :width, :1]
    phases = np.array([0, 0.2, 0.4])  # colours are kept at half the size
    return [
        (127 + 60 * np.sin((x - 3 * t) / 9 + phases) + 60 * np.sin(y / 7 + phases)).astype(np.uint8)
        for t in range(num_frames)
    ]


def write_timed(path: Path, times: list[int]) -> None:
    """Encode a grey frame at each of the times, in milliseconds."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=30)
        stream.height, stream.width, stream.pix_fmt = 64, 64, 'yuv420p'
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, milliseconds in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 16 + 4 * number, np.uint8), format='rgb24')
            frame.pts, frame.time_base = milliseconds, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def promise(path: Path, num_frames: int) -> None:
    """Make the header of an AVI file promise another number of frames."""
    data = bytearray(path.read_bytes())
    for chunk, offset in ((b'avih', 24), (b'strh', 40)):
        start = data.index(chunk) + offset
        data[start : start + 4] = num_frames.to_bytes(4, 'little')
    path.write_bytes(data)


def test_a_folder_keeps_its_paths_and_every_frame_its_place(transcode, source, out, capsys):
    assert transcode(source, out) == 0
    assert files_in(out) == {'one/a.mp4', 'one/b.mp4', 'two words/c 1.mp4', 'transcode.json'}
    for path, count in (('one/a.mp4', 5), ('one/b.mp4', 6), ('two words/c 1.mp4', 7)):
        assert numbers_of(frames_of(out / path)) == list(range(count))
    assert '3 videos done, 0 skipped, 0 broken; ' in capsys.readouterr().out


def test_links_to_folders_are_followed_and_hidden_files_are_not_videos(transcode, source, out, tmp_path):
    (tmp_path / 'linked').mkdir()
    (tmp_path / 'linked/one').symlink_to(source / 'one')
    (tmp_path / 'linked/._a.mp4').write_text('what macOS leaves')
    assert transcode(tmp_path / 'linked', out) == 0
    assert files_in(out) == {'one/a.mp4', 'one/b.mp4', 'transcode.json'}


def test_pictures_are_those_of_the_source_made_smaller(transcode, tmp_path, out):
    (tmp_path / 'source').mkdir()
    pictures = waves(40, 192, 256)
    write_video(tmp_path / 'source/a.mp4', pictures)
    assert transcode(tmp_path / 'source', out, '--short-side', 96) == 0
    expected = np.stack([cv2.resize(picture, (128, 96), interpolation=cv2.INTER_AREA) for picture in pictures])
    got = frames_of(out / 'a.mp4')
    assert got.shape == expected.shape
    assert np.abs(got.astype(int) - expected).mean(axis=(1, 2, 3)).max() < 3


def test_sizes_are_even_and_never_larger(transcode, tmp_path, out):
    (tmp_path / 'source').mkdir()
    sizes = {(120, 160): (64, 84), (160, 120): (84, 64), (40, 90): (40, 90), (65, 131): (64, 128), (63, 63): (62, 62)}
    for height, width in sizes:
        write_greys(tmp_path / f'source/{height}.mkv', 2, height, width, codec='ffv1')
    assert transcode(tmp_path / 'source', out, '--short-side', 64) == 0
    assert {size: frames_of(out / f'{size[0]}.mp4').shape[1:3] for size in sizes} == sizes


def test_files_are_h264_with_key_frames_as_often_as_asked_and_the_index_in_front(transcode, tmp_path, out):
    (tmp_path / 'source').mkdir()
    write_video(tmp_path / 'source/a.mp4', waves(50, 64, 64))
    assert transcode(tmp_path / 'source', out, '--keyframe-distance', 8) == 0
    with av.open(str(out / 'a.mp4')) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ('h264', 'yuv420p')
        keys = [place for place, frame in enumerate(container.decode(stream)) if frame.key_frame]
    assert keys[0] == 0
    assert max(np.diff([*keys, 50])) <= 8
    data = (out / 'a.mp4').read_bytes()
    assert data.index(b'moov') < data.index(b'mdat')


def test_uneven_times_stay(transcode, tmp_path, out):
    (tmp_path / 'source').mkdir()
    times = [0, 10, 50, 51, 300, 333, 1000, 1040, 1041, 1500]
    write_timed(tmp_path / 'source/a.mkv', times)
    assert transcode(tmp_path / 'source', out) == 0
    assert times_of(out / 'a.mp4') == pytest.approx([ms / 1000 for ms in times])
    assert numbers_of(frames_of(out / 'a.mp4')) == list(range(10))


def test_the_rotation_flag_turns_the_pixels(transcode, tmp_path, out):
    (tmp_path / 'source').mkdir()
    pictures = waves(3, 64, 128)
    for rotation in (90, 180, 270):
        write_video(tmp_path / f'source/{rotation}.mp4', pictures, rotation=rotation)
    assert transcode(tmp_path / 'source', out) == 0
    for rotation in (90, 180, 270):
        expected = np.rot90(pictures, rotation // 90, axes=(1, 2)).astype(int)
        got = frames_of(out / f'{rotation}.mp4')
        assert got.shape == expected.shape
        assert np.abs(got - expected).mean() < 3
        with av.open(str(out / f'{rotation}.mp4')) as container:
            assert next(container.decode(video=0)).rotation == 0


def test_a_header_that_promises_more_frames_than_there_are_is_not_believed(transcode, source, out, capsys):
    promise(source / 'one/b.AVI', 7)
    write_greys(source / 'one/d.avi', 6, codec='mpeg4')
    promise(source / 'one/d.avi', 60)
    assert transcode(source, out) == 1
    assert numbers_of(frames_of(out / 'one/b.mp4')) == [0, 1, 2, 3, 4, 5]
    assert 'broken: one/d.avi: 54 packets are damaged or missing beside 6 frames' in capsys.readouterr().err


def test_mirrored_videos_are_mirrored_back(transcode, tmp_path, out):
    (tmp_path / 'source').mkdir()
    pictures = waves(3, 64, 128)
    plain = write_video(tmp_path / 'plain.mp4', pictures)
    with av.open(plain) as container, av.open(str(tmp_path / 'source/a.mp4'), 'w') as mirrored:
        stream = mirrored.add_stream_from_template(container.streams.video[0])
        stream.set_display_matrix([-(2**16), 0, 0, 0, 2**16, 0, 0, 0, 2**30])
        for packet in container.demux(video=0):
            if packet.size:
                packet.stream = stream
                mirrored.mux(packet)
    assert transcode(tmp_path / 'source', out) == 0
    assert np.abs(frames_of(out / 'a.mp4') - np.flip(pictures, 2).astype(int)).mean() < 3


def test_broken_videos_are_named_and_tried_again_and_the_others_are_done(transcode, source, out, capsys):
    (source / 'one/empty.mp4').touch()
    (source / 'two words/text.webm').write_text('no video')
    write_silence(source / 'silence.mp4')
    assert transcode(source, out) == 1
    reasons = dict(line.split('\t') for line in (out / 'broken.txt').read_text().splitlines())
    assert reasons == {
        'one/empty.mp4': 'the file is empty',
        'silence.mp4': 'PyAV finds no video that it can decode',
        'two words/text.webm': 'PyAV finds no video that it can decode',
    }
    printed = capsys.readouterr()
    assert all(f'broken: {path}: {reason}\n' in printed.err for path, reason in reasons.items())
    assert '3 videos done, 0 skipped, 3 broken' in printed.out
    videos = {'one/a.mp4', 'one/b.mp4', 'two words/c 1.mp4', 'transcode.json'}
    assert files_in(out) == videos | {'broken.txt'}
    for path in reasons:
        write_greys(source / path, 3, codec='libvpx' if path.endswith('webm') else 'libx264')
    assert transcode(source, out) == 0
    assert '3 videos done, 3 skipped, 0 broken' in capsys.readouterr().out
    assert files_in(out) == videos | {'one/empty.mp4', 'two words/text.mp4', 'silence.mp4'}


def test_a_decoder_that_crashes_takes_no_other_video_with_it(transcode, source, out, monkeypatch):
    healthy = tool.transcode

    def crash(path: Path, *args, **settings) -> None:
        if path.name == 'b.AVI':
            os.kill(os.getpid(), signal.SIGKILL)
        healthy(path, *args, **settings)

    monkeypatch.setattr(tool, 'transcode', crash)
    assert transcode(source, out) == 1
    assert (out / 'broken.txt').read_text() == 'one/b.AVI\tthe process that read it was killed by signal 9\n'
    assert files_in(out) == {'one/a.mp4', 'two words/c 1.mp4', 'transcode.json', 'broken.txt'}


def test_a_full_disk_ends_the_run(transcode, source, out):
    transcode(source, out)
    (out / 'one/b.mp4').unlink()
    (out / 'one/b.mp4.part').symlink_to('/dev/full')
    with pytest.raises(RuntimeError, match='the work on one/b.AVI failed: .*No space left on device: .*b.mp4.part'):
        transcode(source, out)
    assert files_in(out) == {'one/a.mp4', 'two words/c 1.mp4', 'transcode.json'}


def test_a_second_run_does_only_what_is_left(transcode, source, out, capsys):
    transcode(source, out)
    before = {path: (out / path).stat().st_mtime_ns for path in ('one/a.mp4', 'one/b.mp4')}
    (out / 'two words/c 1.mp4').rename(out / 'two words/c 1.mp4.part')
    (out / 'two words/c 1.mp4.part').write_bytes(b'as an interrupted run leaves it')
    capsys.readouterr()
    assert transcode(source, out) == 0
    assert '1 videos done, 2 skipped, 0 broken' in capsys.readouterr().out
    assert before == {path: (out / path).stat().st_mtime_ns for path in before}
    assert files_in(out) == {*before, 'two words/c 1.mp4', 'transcode.json'}
    assert numbers_of(frames_of(out / 'two words/c 1.mp4')) == list(range(7))


def test_an_interrupted_run_leaves_whole_files_only(transcode, source, out, monkeypatch):
    quick = tool.scale

    def slow(frame: av.VideoFrame, *args) -> av.VideoFrame:
        time.sleep(0.05 if frame.width == 64 else 0)
        return quick(frame, *args)

    write_greys(source / 'slow.mp4', 400, 64, 64)
    monkeypatch.setattr(tool, 'scale', slow)
    process = multiprocessing.get_context('fork').Process(target=transcode, args=(source, out))
    process.start()
    while not ((out / 'slow.mp4.part').exists() and (out / 'one/a.mp4').exists()):
        time.sleep(0.01)
        assert process.is_alive()
    os.kill(process.pid, signal.SIGINT)
    process.join(timeout=30)
    assert process.exitcode not in (None, 0)
    done = {path for path in files_in(out) if path.endswith('.mp4')}
    assert files_in(out) == done | {'transcode.json'}
    assert all(len(frames_of(out / path)) for path in done)
    monkeypatch.undo()


def test_a_list_is_written_again_with_the_new_paths_and_the_same_labels(transcode, source, out, tmp_path):
    (source / 'one/broken.mp4').touch()
    (tmp_path / 'train.txt').write_text('one/b.AVI opening a door\n\none/broken.mp4 2\ntwo words/c 1.mkv  3 17\n')
    assert transcode(tmp_path / 'train.txt', out, '--root', source) == 1
    assert (out / 'train.txt').read_text() == 'one/b.mp4 opening a door\ntwo words/c 1.mp4 3 17\n'
    videos = {'one/b.mp4', 'two words/c 1.mp4'}
    assert files_in(out) == videos | {'train.txt', 'transcode.json', 'broken.txt'}
    (source / 'val.csv').write_text('path,label\n./one/a.mp4,"door, open"\ntwo words/c 1.mkv,0\n')
    assert transcode(source / 'val.csv', out) == 0
    assert (out / 'val.csv').read_text() == 'path,label\none/a.mp4,"door, open"\ntwo words/c 1.mp4,0\n'
    assert files_in(out) == videos | {'one/a.mp4', 'train.txt', 'val.csv', 'transcode.json', 'broken.txt'}
    assert (out / 'broken.txt').read_text().startswith('one/broken.mp4\t')  # of the other list


@pytest.mark.parametrize(
    ('lines', 'error'),
    [
        ('/videos/a.mp4 0', "list.txt, line 1: '/videos/a.mp4' leads out of "),
        ('one/../../a.mp4 0', "'one/../../a.mp4' leads out of "),
        ('http://host/a.mp4 0', "'http://host/a.mp4' is an address or a path of another system"),
        ('one/a.mp4 0\nframes/0001 1', "'frames/0001' is no video file (.264 .265"),
        ('', 'list.txt holds no videos; give a folder or a list of files .264'),
    ],
)
def test_lists_that_cannot_be_followed_are_refused_before_anything_is_written(lines, error, transcode, source, out):
    (source / 'list.txt').write_text(lines)
    with pytest.raises(ValueError, match='.') as refusal:
        transcode(source / 'list.txt', out)
    assert error in str(refusal.value)
    assert not out.exists()


def test_two_videos_that_would_get_one_name_are_refused(transcode, source, out):
    (source / 'one/a.webm').touch()
    with pytest.raises(ValueError, match='one/a.mp4 and one/a.webm would both become one/a.mp4; rename one'):
        transcode(source, out)
    assert not out.exists()


def test_other_settings_than_those_of_the_folder_are_refused(transcode, source, out):
    transcode(source, out, '--crf', 30)
    settings = dict(short_side=320, keyframe_distance=32, crf=30)
    assert json.loads((out / 'transcode.json').read_text()) == settings
    with pytest.raises(
        ValueError, match="was begun with .*'crf': 30.*, not .*'crf': 18.*; give the same ones or anoth"
    ):
        transcode(source, out)


@pytest.mark.parametrize(
    ('words', 'error'),
    [
        (['.', 'out', '--short-side', '8'], '--short-side is 8, expected a number from 16 to 4096'),
        (['.', 'out', '--keyframe-distance', '0'], '--keyframe-distance is 0, expected a number from 1 to 1000'),
        (['none', 'out'], 'none does not exist; give a folder of videos or an annotation list'),
        (['one', 'out', '--root', '.'], '--root is for lists, and one is a folder; leave --root out'),
        (['.', 'one/out'], 'one/out and . lie in each other; give a folder to write to beside the source'),
        (['one', '.'], '. and one lie in each other'),
    ],
)
def test_mistakes_in_arguments_are_named(words, error, transcode, source, refused, monkeypatch):
    monkeypatch.chdir(source)
    before = files_in(source)
    with refused(re.escape(error)):
        transcode(*words)
    assert files_in(source) == before


def test_a_folder_of_other_things_is_refused(transcode, source, monkeypatch):
    monkeypatch.chdir(source)
    before = files_in(source)
    with pytest.raises(ValueError, match='two words is not empty and was not written by this tool; give another fold'):
        transcode('one', 'two words')
    assert files_in(source) == before
