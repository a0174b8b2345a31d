"""Lists and folders of videos, as all tools and data sets read them."""

import os
import socket
from functools import partial
from pathlib import Path

import pytest
from videos import write_greys

from mmtsf.datasets import VideoListDataset
from mmtsf.datasets.annotation_list import read_list, write_list
from mmtsf.preparation.video_paths import list_folder, list_source, videos_of

OUTSIDE = [
    '../o.mp4',
    'sub/../../o.mp4',
    './/..//o.mp4',
    'link/../../o.mp4',
    '/etc/o.mp4',
    '{outside}/o.mp4',
    '//etc/o.mp4',
]
ADDRESSES = [
    'http://127.0.0.1/o.mp4',
    'HTTPS://host/o.mp4?key=a#b',
    's3://bucket/o.mp4',
    'hf://datasets/a/b/o.mp4',
]
FOREIGN = [
    'https:/host/o.mp4',
    'FTP://host/o.mp4',
    'ssh://host/o.mp4',
    'memory://o.mp4',
    'zip://o.mp4::s3://bucket/a.zip',
    'simplecache::s3://bucket/o.mp4',
    's3://bucket/a::file:///etc/o.mp4',
    'file:///etc/o.mp4',
    'file:/etc/o.mp4',
    r'C:\videos\o.mp4',
    'C:/videos/o.mp4',
    r'\\server\share\o.mp4',
    r'..\o.mp4',
    r'a\..\..\o.mp4',
]


def readers(file: Path, folder: Path, allow_outside: bool = False) -> list:
    """What reads a list, as functions: that of the tools, and the data set."""
    return [
        lambda: [row.path for row in read_list(file, folder, allow_outside).rows],
        lambda: [
            info['filename']
            for info in VideoListDataset(
                str(file), [], 1, data_root=str(folder), allow_outside=allow_outside
            ).load_data_list()
        ],
    ]


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with another one in it, and a link to one elsewhere."""
    (tmp_path / 'videos/sub').mkdir(parents=True)
    (tmp_path / 'elsewhere/inner').mkdir(parents=True)
    (tmp_path / 'videos/link').symlink_to(tmp_path / 'elsewhere/inner')
    return tmp_path / 'videos'


@pytest.mark.parametrize('name', ['list.txt', 'list.csv'])
@pytest.mark.parametrize('path', OUTSIDE)
def test_a_path_that_leads_out_is_refused_by_all_readers_unless_allowed(path, name, folder):
    path = path.format(outside=folder.parent)
    separator = ',' if name.endswith('csv') else ' '
    (folder / name).write_text(f'sub/a.mp4{separator}0\n{path}{separator}0\n')
    for read in readers(folder / name, folder):
        with pytest.raises(ValueError, match=f'{name}, line 2: .* leads out of {folder}; write paths relative to it'):
            read()
    for read in readers(folder / name, folder, allow_outside=True):
        assert read()[1].endswith('o.mp4')


@pytest.mark.parametrize('allow_outside', [False, True])
@pytest.mark.parametrize('path', FOREIGN)
def test_addresses_and_paths_of_other_systems_are_refused(path, allow_outside, folder):
    (folder / 'list.txt').write_text(f'{path} 0\n')
    for read in readers(folder / 'list.txt', folder, allow_outside):
        with pytest.raises(ValueError, match='list.txt, line 1: .* is an address or a path of another system'):
            read()


@pytest.fixture
def offline(monkeypatch) -> None:
    """Servers are not asked whether they are there."""
    monkeypatch.setattr('mmtsf.utils.remote_path.RemotePath.is_reachable', lambda self: True)


@pytest.mark.usefixtures('offline')
@pytest.mark.parametrize('path', ADDRESSES)
def test_addresses_are_refused_unless_allowed(path, folder):
    (folder / 'list.txt').write_text(f'{path} 0\n')
    for read in readers(folder / 'list.txt', folder):
        with pytest.raises(ValueError, match=r'list.txt, line 1: .* is an address .*set data.allow_outside=True'):
            read()
    for read in readers(folder / 'list.txt', folder, allow_outside=True):
        assert read()[0].lower() == path.lower()


@pytest.mark.parametrize(
    ('row', 'expected', 'allowed'),
    [
        ('a.mp4', '/a.mp4', '/a.mp4'),
        ('./sub/../a.mp4', '/a.mp4', '/a.mp4'),
        ('{folder}/a%2Fb.mp4', {'s3': '/a%2Fb.mp4', 'http': '/a/b.mp4'}, {'s3': '/a%2Fb.mp4', 'http': '/a/b.mp4'}),
        ('a?x#y.mp4', {'s3': '/a?x#y.mp4', 'http': '/a%3Fx%23y.mp4'}, {'s3': '/a?x#y.mp4', 'http': '/a%3Fx%23y.mp4'}),
        ('%2e%2e/a.mp4', {'s3': '/%2e%2e/a.mp4', 'http': '/%252e%252e/a.mp4'}, None),
        ('{folder}/%2e%2e/a.mp4', {'s3': '/%2e%2e/a.mp4', 'http': ValueError}, None),
        ('../a.mp4', ValueError, ValueError),
        ('{folder}/../a.mp4', ValueError, ValueError),
        ('/etc/a.mp4', ValueError, '=/etc/a.mp4'),
        ('{folder}2/a.mp4', ValueError, '={folder}2/a.mp4'),
        ('s3://others/a.mp4', ValueError, '=s3://others/a.mp4'),
        ('a::file:///etc/a.mp4', ValueError, ValueError),
        ('{folder}/a::file:///etc/a.mp4', ValueError, ValueError),
        ('file:///etc/a.mp4', ValueError, ValueError),
        (r'..\a.mp4', ValueError, ValueError),
        (r'C:\a.mp4', ValueError, ValueError),
    ],
)
@pytest.mark.usefixtures('offline')
@pytest.mark.parametrize('folder', ['s3://bucket/videos', 'http://host/videos'])
def test_rows_of_a_folder_at_an_address(row, expected, allowed, folder, tmp_path):
    (file := tmp_path / 'list.txt').write_text(f'"{row.format(folder=folder)}" 0\n')
    for allow_outside, outcome in ((False, expected), (True, expected if allowed is None else allowed)):
        outcome = outcome[folder.partition(':')[0]] if isinstance(outcome, dict) else outcome
        read = partial(VideoListDataset, str(file), [], 1, video_dir=folder, allow_outside=allow_outside)
        if outcome is ValueError:
            with pytest.raises(ValueError, match=r'list.txt, line 1: '):
                read()
        else:
            name = read().get_data_info(0)['filename']
            assert name == (outcome[1:].format(folder=folder) if outcome[0] == '=' else folder + outcome)


@pytest.mark.parametrize('path', ['http:/127.0.0.1/o.mp4', r'..\o.mp4', 'C:/videos/o.mp4', '12:30:00.mp4', 'a..b.mp4'])
def test_a_file_that_is_there_may_have_any_name(path, folder):
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).touch()
    (folder / 'list.txt').write_text(f'{path} 0\n')
    found = [read() for read in readers(folder / 'list.txt', folder)]
    assert found == [[path], [str(folder / path)]]


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('list.txt', b'a\0b.mp4 0\n'),
        ('list.csv', b'"a\0b.mp4",0\n'),
        ('list.csv', b'"a\nb.mp4",0\n'),
        ('list.csv', b',0\n'),
        ('list.txt', 'a.mp4 0\n'.encode('utf-16')),
        ('list.txt', 'ä.mp4 0\n'.encode('latin-1')),
    ],
)
def test_what_is_no_text_or_no_path_is_one_error_that_names_the_list(name, content, folder):
    (folder / name).write_bytes(content)
    for read in readers(folder / name, folder):
        with pytest.raises(ValueError, match=f'{name}.*(is no path|expected text in UTF-8)'):
            read()


@pytest.mark.parametrize('path', ['sub/../a.mp4', './a.mp4', 'link/../a.mp4', '{folder}/a.mp4', 'sub//..//a.mp4'])
def test_paths_are_those_from_the_folder_on(path, folder):
    (folder / 'list.txt').write_text(f'{path.format(folder=folder)} 0\n')
    found = [read() for read in readers(folder / 'list.txt', folder)]
    assert found == [['a.mp4'], [f'{folder}/a.mp4']]


@pytest.mark.parametrize('name', ['list.csv', 'list.CSV'])
def test_a_header_stays_in_a_csv_file_and_is_no_video(name, folder, tmp_path):
    (folder / name).write_text('\ufeffpath,label\r\n\r\n"a, b.mp4","door, open"\r\nc.mp4, 0\r\n')
    videos = read_list(folder / name, folder)
    assert [(row.path, row.labels) for row in videos.rows] == [('a, b.mp4', ['door, open']), ('c.mp4', ['0'])]
    write_list(tmp_path / name, videos, {'c.mp4': 'd.mp4'}, [])
    assert (tmp_path / name).read_text() == 'path,label\n"a, b.mp4","door, open"\nd.mp4,0\n'


def test_a_text_list_has_no_header(folder):
    (folder / 'list.txt').write_text('a.mp4 class\nb.mp4 label\n')
    assert [row.path for row in read_list(folder / 'list.txt', folder).rows] == ['a.mp4', 'b.mp4']


def test_folders_that_lead_back_to_themselves_are_named_and_the_rest_is_listed(folder):
    write_greys(folder / 'sub/a.mp4', 1)
    (folder / 'sub/again').symlink_to(folder)
    (folder / 'link/back').symlink_to(folder)
    (folder / 'link/b.mp4').touch()
    (folder / '.hidden.mp4').touch()
    with pytest.warns(UserWarning, match='by a link it leads to a folder that holds it') as warned:
        assert list_folder(folder) == ['link/b.mp4', 'sub/a.mp4']
    assert {str(warning.message).split(' is left')[0] for warning in warned} == {
        f'{folder}/sub/again',
        f'{folder}/link/back',
    }


def test_what_looks_like_a_video_is_listed_so_that_it_can_be_named(folder):
    os.mkfifo(folder / 'fifo.mp4')
    (folder / 'loop.mp4').symlink_to('loop.mp4')
    (folder / 'none.mp4').symlink_to('nothing')
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / 'socket.mp4'))
    (folder / 'folder.mp4').mkdir()
    assert videos_of(str(folder)) == [f'{folder}/{name}.mp4' for name in ('fifo', 'loop', 'none', 'socket')]
    assert [row.path for row in list_source(folder)[1].rows] == ['fifo.mp4', 'loop.mp4', 'none.mp4', 'socket.mp4']


def test_files_of_other_suffixes_are_named_and_images_are_not(folder):
    for name in ('a.mp4', 'b.MTS', 'sub/c.xyz', 'sub/img_1.jpg', '.d.xyz'):
        (folder / name).touch()
    with pytest.warns(UserWarning, match=f'left out of {folder}, as no suffix of a video: sub/c.xyz$'):
        assert list_folder(folder) == ['a.mp4', 'b.MTS']


def test_a_name_that_would_be_two_lines_of_a_list_is_named_and_left_out(folder):
    (folder / 'a.mp4 0\nb.mp4').touch()
    (folder / 'c.mp4').touch()
    with pytest.warns(UserWarning, match='no list can hold its line break'):
        assert list_folder(folder) == ['c.mp4']


@pytest.mark.parametrize(
    ('line', 'path', 'labels'),
    [
        ('a b.mp4 1', 'a b.mp4', ['1']),
        ('a.mp4 0 2', 'a.mp4', ['0', '2']),
        ('a.mp4 playing guitar', 'a.mp4', ['playing guitar']),
        ('a.mp4 b.MP4 1', 'a.mp4 b.MP4', ['1']),
        ('a.mp4', 'a.mp4', []),
        ('frames 2 1', 'frames 2', ['1']),
        ('clip.mp4/frames 1', 'clip.mp4/frames', ['1']),
    ],
)
def test_a_line_means_the_same_to_tools_and_data_sets(line, path, labels, folder):
    (folder / 'list.txt').write_text(f'{line}\n')
    (folder / 'frames 2').mkdir()
    (row,) = read_list(folder / 'list.txt', folder).rows
    assert (row.path, row.labels) == (path, labels)
    names = ['zero', 'playing guitar', 'two']
    dataset = VideoListDataset('list.txt', [], classes=names, data_root=str(folder), lazy_init=True)
    if len(labels) == 1:
        assert dataset.get_data_info(0)['filename'] == str(folder / path)
    else:
        with pytest.raises(ValueError, match=f"'{path}' has {len(labels)} labels, expected one"):
            dataset.full_init()
