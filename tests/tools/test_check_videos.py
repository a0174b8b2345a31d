"""Broken videos are found beforehand, and checking them survives what they do."""

import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest
import warm
from runs import ROOT, run_tool
from videos import write_greys

from mmtsf.commands import run
from mmtsf.datasets.decoders import BrokenVideoError

TOOL = 'tools/data/check_videos.py'


@pytest.fixture
def source(tmp_path) -> Path:
    """Folder with two good videos and two bad ones, and a list of three of them."""
    folder = tmp_path / 'source'
    (folder / 'two words').mkdir(parents=True)
    write_greys(folder / 'a.mp4', 20)
    write_greys(folder / 'two words/b 1.avi', 10, codec='mpeg4')
    (folder / 'empty.mp4').touch()
    (folder / 'text.webm').write_text('no video')
    (folder / 'list.txt').write_text('a.mp4 opening a door\ntext.webm 1\n\ntwo words/b 1.avi  3 17\n')
    return folder


def test_a_list_is_parted_into_good_and_bad_videos(source, tmp_path):
    out = tmp_path / 'source/list.txt.checked'
    log = run_tool(TOOL, source / 'list.txt', fails=True)
    assert f'2 good videos, 1 bad; the lists lie in {out}' in log
    assert (out / 'good.txt').read_text() == 'a.mp4 opening a door\ntwo words/b 1.avi 3 17\n'
    assert (out / 'bad.txt').read_text() == 'text.webm\tPyAV finds no video that it can decode\n'
    (tmp_path / 'list.csv').write_text('path,label\n"a.mp4","door, open"\ntwo words/b 1.avi,0\nnone.mp4,1\n')
    run_tool(TOOL, tmp_path / 'list.csv', '--root', source, '--out', tmp_path / 'out', fails=True)
    assert (tmp_path / 'out/good.csv').read_text() == 'path,label\na.mp4,"door, open"\ntwo words/b 1.avi,0\n'
    assert (tmp_path / 'out/bad.txt').read_text() == 'none.mp4\tthe file does not exist\n'


def test_an_empty_class_folder_is_named(source, capsys):
    for name in ('left', 'right'):
        (source / name).mkdir()
    write_greys(source / 'left/a.mp4', 10)
    with pytest.raises(SystemExit):
        run('check', [str(source), '--workers', '1'])
    assert f'warning: empty, which mmtsf train refuses: {source}/right; put videos in' in capsys.readouterr().err


def test_a_folder_is_searched_and_good_videos_make_the_exit_status_0(source, tmp_path):
    log = run_tool(TOOL, source, '--out', tmp_path / 'out', '--decoder', 'decord', fails=True)
    assert '2 good videos, 2 bad' in log
    assert (tmp_path / 'out/good.txt').read_text() == 'a.mp4\ntwo words/b 1.avi\n'
    for name in ('empty.mp4', 'text.webm'):
        write_greys(source / name, 4, codec='libvpx' if name.endswith('webm') else 'libx264')
    assert '4 good videos, 0 bad' in run_tool(TOOL, source, '--out', tmp_path / 'out', '--decoder', 'decord')
    assert (tmp_path / 'out/bad.txt').read_text() == ''


def test_only_a_full_check_finds_what_is_broken_between_the_frames_of_a_clip(tmp_path):
    (tmp_path / 'source').mkdir()
    path = Path(write_greys(tmp_path / 'source/a.mp4', 200, gop_size=5))
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][100]
    data = bytearray(path.read_bytes())
    data[packet.pos : packet.pos + packet.size] = b'\xff' * packet.size
    path.write_bytes(data)
    assert '1 good video, 0 bad' in run_tool(TOOL, tmp_path / 'source')
    assert '0 good videos, 1 bad' in run_tool(TOOL, tmp_path / 'source', '--full', fails=True)


def faulty(source: Path, *words: str | Path | int) -> list[str]:
    """What stands behind ``python`` to check with the decoder of ``faults.py``."""
    code = (
        f'import sys, runpy; sys.path.insert(0, {str(ROOT / "tests/reliability")!r}); import faults\n'
        f'runpy.run_path({str(ROOT / TOOL)!r}, run_name="__main__")'
    )
    return ['-c', code, str(source), '--decoder', 'faulty', *map(str, words)]


def test_videos_that_crash_or_hang_are_bad_and_the_others_are_checked(source, tmp_path):
    for name in ('crash.mp4', 'hang.mp4'):
        write_greys(source / name, 4)
    printed = run_tool(*faulty(source, '--time-limit', 2), fails=True)
    bad = dict(line.split('\t') for line in (tmp_path / 'source.checked/bad.txt').read_text().splitlines())
    assert bad['crash.mp4'] == 'the process that read it was killed by signal 11'
    assert bad['hang.mp4'] == 'it could not be read within 2 s'
    assert '2 good videos, 4 bad' in printed


def test_an_interrupted_check_goes_on_where_it_was(source, tmp_path):
    (source / 'z').mkdir()
    write_greys(source / 'z/wait.mp4', 4)
    command = faulty(source, '--out', tmp_path, '--workers', 1)
    with (tmp_path / 'log').open('w') as log:
        process = warm.start(command, ROOT, dict(os.environ), log)
    while not (source / 'z/wait.met').exists():
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=300) == 130
    printed = (tmp_path / 'log').read_text()
    assert printed.endswith('stopped: 4 of 5 videos are done; the same command goes on from here\n')
    assert {line.split('\t')[0] for line in (tmp_path / 'bad.txt').open()} == {'empty.mp4', 'text.webm'}
    before = (tmp_path / 'checked.tsv').read_text()
    assert len(before.splitlines()) == 4
    assert '3 good videos, 2 bad' in run_tool(*command, fails=True)
    added = (tmp_path / 'checked.tsv').read_text().removeprefix(before).splitlines()
    assert [line.split('\t')[0] for line in added] == ['z/wait.mp4']


@pytest.mark.parametrize(
    ('words', 'error'),
    [
        (['none'], 'none does not exist; give a folder of videos or an annotation list'),
        (['{source}', '--workers', '0'], "--workers: invalid int above 0 value: '0'"),
    ],
)
def test_mistakes_are_named(words, error, source):
    assert error in run_tool(TOOL, *(word.format(source=source) for word in words), fails=True)


@pytest.fixture
def check_videos() -> Callable[..., int]:
    """The command, in this process: returns its exit status."""

    def check_videos(*words: object) -> int:
        with pytest.raises(SystemExit) as ended:
            run('check', [*map(str, words), '--workers', '2'])
        return ended.value.code

    return check_videos


def test_what_is_no_file_is_named_and_does_not_end_the_check(check_videos, source, tmp_path):
    os.mkfifo(source / 'fifo.mp4')
    (source / 'loop.mp4').symlink_to('loop.mp4')
    (source / 'none.mp4').symlink_to('nothing')
    (source / 'zero.mp4').symlink_to('/dev/zero')
    (source / 'two words/again').symlink_to(source)
    (source / 'x.mp4').write_text('ffconcat version 1.0\nfile a.mp4\n')
    start = time.monotonic()
    with pytest.warns(UserWarning, match='two words/again is left out: by a link it leads to a folder that holds it'):
        assert check_videos(source, '--out', tmp_path / 'out') == 1
    assert time.monotonic() - start < 55  # the time limit is 60
    assert (tmp_path / 'out/good.txt').read_text() == 'a.mp4\ntwo words/b 1.avi\n'
    assert dict(line.split('\t') for line in (tmp_path / 'out/bad.txt').read_text().splitlines()) == {
        'empty.mp4': 'the file is empty',
        'fifo.mp4': 'it is no regular file',
        'loop.mp4': 'the file cannot be opened: Too many levels of symbolic links',
        'none.mp4': 'the file does not exist',
        'text.webm': 'PyAV finds no video that it can decode',
        'x.mp4': 'it is no video but text, as playlists and scripts are, which are not opened',
        'zero.mp4': 'it is no regular file',
    }


@pytest.mark.parametrize('number', [errno.EACCES, errno.EIO, errno.ENOENT])
def test_what_the_disk_refuses_is_not_kept_of_a_file_that_has_not_changed(number, check_videos, source, monkeypatch):
    out = source.parent / 'out'
    with monkeypatch.context() as patch:

        def refuse(path: object, *_: object) -> None:
            raise BrokenVideoError(str(path), 'it cannot be opened') from OSError(number, os.strerror(number))

        patch.setattr('mmtsf.preparation.check_videos.open_video', refuse)
        assert check_videos(source, '--out', out) == 1
    assert len((out / 'bad.txt').read_text().splitlines()) == 4
    assert check_videos(source, '--out', out) == 1
    assert [line.split('\t')[0] for line in (out / 'bad.txt').open()] == ['empty.mp4', 'text.webm']


def test_what_decoders_take_for_the_end_of_a_file_is_read_to_tell_it_from_an_error_of_the_disk(
    check_videos, source, monkeypatch
):
    out = source.parent / 'out'
    with monkeypatch.context() as patch:
        patch.setattr('mmtsf.preparation.check_videos._can_be_read', lambda path: False)
        assert check_videos(source, '--out', out) == 1
    assert sorted(line.split('\t')[0] for line in (out / 'checked.tsv').open()) == ['a.mp4', 'two words/b 1.avi']


@pytest.mark.parametrize('path', ['../outside/o.mp4', '{outside}/o.mp4'])
def test_a_list_cannot_lead_out_of_its_folder_unless_allowed(path, check_videos, refused, source, tmp_path):
    (tmp_path / 'outside').mkdir()
    write_greys(tmp_path / 'outside/o.mp4', 4)
    (source / 'list.txt').write_text(f'a.mp4 0\n{path.format(outside=tmp_path / "outside")} 0\n')
    with refused(f'list.txt, line 2: .* leads out of {source}'):
        run('check', [str(source / 'list.txt')])
    assert not (tmp_path / 'source/list.txt.checked').exists()
    assert check_videos(source / 'list.txt', '--allow-outside') == 0
    assert (tmp_path / 'source/list.txt.checked/good.txt').read_text().count('o.mp4 0\n') == 1


def test_limits_are_options_and_what_was_found_with_others_is_found_anew(check_videos, source, refused, tmp_path):
    (source / 'empty.mp4').unlink()
    (source / 'text.webm').unlink()
    assert check_videos(source, '--out', tmp_path / 'out') == 0
    assert check_videos(source, '--out', tmp_path / 'out', '--limits', 'frames=19') == 1
    assert (tmp_path / 'out/bad.txt').read_text() == 'a.mp4\tit has more frames than limits.frames allows, 19\n'
    assert check_videos(source, '--out', tmp_path / 'out', '--limits', 'frames=20') == 0
    with refused('--limits has frame_pixel, expected one of frame_pixels, '):
        run('check', [str(source), '--limits', 'frame_pixel=20'])


def test_options_of_lists_are_refused_for_folders(source, refused):
    with refused('--root and --allow-outside are for lists, and .* is a folder'):
        run('check', [str(source), '--allow-outside'])


def test_names_that_no_list_holds_and_videos_that_are_named_again_are_said(check_videos, tmp_path, capfd):
    video = Path(write_greys(tmp_path / 'a.mp4', 4)).read_bytes()
    (source := tmp_path / 'source').mkdir()
    for name in (' lead.mp4', os.fsdecode(b'\xff.mp4'), 'cat.mp4'):
        (source / name).write_bytes(video)
    with pytest.warns(
        UserWarning, match="left out of .*good.txt, which would not be read as it was written: .*udcff.mp4'"
    ):
        assert check_videos(source, '--out', tmp_path / 'out') == 0
    (source / 'list.txt').write_text((tmp_path / 'out/good.txt').read_text() + './/cat.mp4 1\n')
    assert check_videos(source / 'list.txt', '--out', tmp_path / 'out') == 0
    assert (tmp_path / 'out/good.txt').read_text() == '" lead.mp4"\ncat.mp4\ncat.mp4 1\n'
    said = capfd.readouterr().err
    assert 'warning: named again in the list: cat.mp4' in said
    assert 'with other labels: cat.mp4 (, then 1); correct the list' in said
