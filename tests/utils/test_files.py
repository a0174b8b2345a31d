"""Files that can be written are told from those that cannot, before there is work to lose."""

from pathlib import Path

import pytest

from mmtsf.utils.files import check_target, written_whole


@pytest.mark.parametrize(
    ('name', 'is_folder', 'message'),
    [
        ('none/f.json', False, 'but there is no folder'),
        ('file/f.json', False, 'but there is no folder'),
        ('folder', False, 'which is a folder, expected the name of a file'),
        ('file', True, 'which is a file, expected the name of a folder'),
        ('none/folder', True, 'but there is no folder'),
        ('link/f.json', False, 'but there is no folder'),
        ('dangling', False, 'but there is no folder'),
        ('/proc/f.json', False, 'which cannot be written'),
    ],
)
def test_a_place_that_cannot_be_written_is_said_and_stays_as_it_is(tmp_path, name, is_folder, message):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'file').write_text('content')
    (tmp_path / 'link').symlink_to(tmp_path / 'none')
    (tmp_path / 'dangling').symlink_to(tmp_path / 'none/file')
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OSError, match=f'^--json is {tmp_path / name}, {message}'):
        check_target(tmp_path / name, '--json', is_folder=is_folder)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ('name', 'is_folder'), [('f.json', False), ('file', False), ('f', True), ('folder', True), ('/dev/null', False)]
)
def test_a_place_that_can_be_written_is_left_as_it_is(tmp_path, monkeypatch, name, is_folder):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'file').write_text('content')
    monkeypatch.chdir(tmp_path)
    check_target(Path(name), '--json', is_folder=is_folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file', 'folder']
    assert (tmp_path / 'file').read_text() == 'content'


def test_what_is_read_is_not_written_over(tmp_path):
    video = tmp_path / 'video.mp4'
    video.touch()
    (tmp_path / 'link.mp4').symlink_to(video)
    with pytest.raises(ValueError, match='--json is .*/link.mp4, which is read and would be written over'):
        check_target(tmp_path / 'link.mp4', '--json', [video])


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'table.csv'
    path.write_text('before')

    def interrupted() -> None:
        with written_whole(path) as part:
            part.write_text('half')
            assert path.read_text() == 'before'
            raise InterruptedError

    with pytest.raises(InterruptedError):
        interrupted()
    assert path.read_text() == 'before'
    with written_whole(path) as first, written_whole(path) as second:
        assert first != second  # of two writers at once
        first.write_text('first')
        second.write_text('second')
    assert path.read_text() == 'first'
    assert list(tmp_path.iterdir()) == [path]
