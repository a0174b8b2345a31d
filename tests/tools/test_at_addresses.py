"""Commands write to addresses what they write to a folder, whole at any moment, or say that they do not."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from runs import ROOT, TINY

from mmtsf.commands import main
from mmtsf.preparation.video_paths import known_videos
from mmtsf.utils import locations, remote_calls, results
from mmtsf.utils.files import check_target
from mmtsf.utils.locations import location

CONFIG = str(ROOT / TINY)


def run(*words: str | Path) -> int:
    """Run a command in this process; its exit code."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return left.value.code or 0


def puts(s3) -> list[str]:
    return [asked.path for asked in s3.server.asked if asked.method == 'PUT']


def test_a_folder_of_videos_is_checked_and_rewritten(s3, motion):
    videos = motion / 'test/left'
    for _ in range(2):  # the second time nothing is done again
        s3.server.asked.clear()
        assert run('check', videos, '--out', f'{s3.url}/checked', '--workers', 1) == 0
    assert len(location(f'{s3.url}/checked/good.txt').read_text().split()) == 3
    assert len(puts(s3)) <= 6
    for _ in range(2):
        s3.server.asked.clear()
        assert run('transcode', videos, f'{s3.url}/small', '--short-side', 56, '--workers', 1) == 0
    written = sorted(path.name for path in location(f'{s3.url}/small').iterdir())
    assert written == [*sorted(path.name for path in videos.iterdir()), 'transcode.json']
    assert not any(name.endswith('.mp4') for name in puts(s3))


@pytest.mark.parametrize('status', [403, 503])
def test_what_stands_before_a_video_costs_its_row_and_is_tried_again(status, s3, motion, tmp_path, monkeypatch):
    for name in ('FIRST_WAIT', 'LONGEST_WAIT'):
        monkeypatch.setattr(remote_calls, name, 0.01)
    monkeypatch.setattr(locations, 'LISTED', 2)
    s3.put_folder(motion / 'test/left', 'v')
    nowhere = 'http://127.0.0.1:1/a.mp4'
    s3.put('v/list.txt', ''.join(f'{name} 0\n' for name in ('0000.mp4', '0001.mp4', '0002.mp4', nowhere)))
    s3.server.only, s3.server.always = lambda asked: asked.path.endswith('0001.mp4'), status
    words = ['check', f'{s3.url}/v/list.txt', '--out', tmp_path, '--workers', 1, '--allow-outside']
    assert run(*words) == 1
    bad = dict(line.split('\t') for line in (tmp_path / 'bad.txt').read_text().splitlines())
    assert bad.pop(nowhere).startswith('cannot be reached; check the network')
    assert bad.pop('0001.mp4').startswith({403: 'no rights to it', 503: 'cannot be reached'}[status])
    assert not bad
    s3.server.clear()
    assert run(*words) == 1
    assert [line.split('\t')[0] for line in (tmp_path / 'bad.txt').read_text().splitlines()] == [nowhere]
    asked = [asked.path for asked in s3.server.asked if asked.path.endswith('.mp4')]
    assert {Path(path).name for path in asked} == {'0001.mp4'}  # one listing has told that the others are the same


@pytest.mark.parametrize('there', ['source', 'out'])
def test_a_video_that_was_replaced_since_is_transcoded_again(there, s3, motion, tmp_path, capfd):
    (source := tmp_path / 'source').mkdir()
    for name in ('0000.mp4', '0001.mp4'):
        (source / name).write_bytes((motion / 'test/left' / name).read_bytes())
    places = dict(source=source, out=tmp_path / 'out')
    places[there] = location(f'{s3.url}/{there}')
    if there == 'source':
        s3.put_folder(source, there)
    done = []
    for _ in range(2):
        assert run('transcode', *places.values(), '--short-side', 56, '--workers', 1) == 0
        done.append(capfd.readouterr().out.split(' videos done')[0].split()[-1])
    if there == 'out':
        os.utime(source / '0001.mp4', (time.time() + 9,) * 2)
    else:
        for target in places['out'].glob('*.mp4'):
            os.utime(target, (time.time() + 9 * (target.name == '0000.mp4') - 9,) * 2)
    assert run('transcode', *places.values(), '--short-side', 56, '--workers', 1) == 0
    assert [*done, capfd.readouterr().out.split(' videos done')[0].split()[-1]] == ['2', '0', '1']


def test_a_video_of_which_nothing_is_told_ends_no_command_before_the_work(s3):
    s3.put('v/list.txt', 'a.mp4 0\nb.mp4 0\n')
    s3.put('v/b.mp4', b'x')
    s3.server.only, s3.server.always = lambda asked: 'a.mp4' in asked.path, 403
    assert len(known_videos(location(f'{s3.url}/v/list.txt'), None, False)) == 2
    s3.server.only = lambda asked: asked.path.endswith('.mp4')
    with pytest.raises(PermissionError, match='a.mp4: no rights to it'):
        known_videos(location(f'{s3.url}/v/list.txt'), None, False)


def test_names_are_compared_without_a_request(web):
    video = location(web.put('a.mp4', b''))
    web.server.clear()
    with pytest.raises(ValueError, match='which is read and would be written over'):
        check_target(video, '--json', [video])
    assert not web.server.asked


def test_lists_of_a_data_set_are_prepared(s3, motion, tmp_path):
    names = {f'video_{path.stem}_': path for path in sorted((motion / 'test/left').iterdir())}
    lines = [f'{label},{name},0,10,test' for label, name in zip(('left', 'right', 'left'), names)]
    annotations = s3.put('official/test.csv', '\n'.join(['label,youtube_id,time_start,time_end,split', *lines]))
    videos = tmp_path / 'videos'
    videos.mkdir()
    for name, path in names.items():
        (videos / f'{name}_000000_000010.mp4').symlink_to(path)
    words = ['--videos', videos, '--annotations', annotations, '--out', f'{s3.url}/lists', '--no-check']
    assert run('prepare', 'kinetics400', *words) == 0
    assert len(location(f'{s3.url}/lists/test_list.txt').read_text().splitlines()) == 3


def test_predictions_and_features_are_written(s3, motion, tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(results, 'SECONDS', 100)
    model = [motion / 'test/left', CONFIG, s3.put('tiny.pth', tiny_checkpoint)]
    assert run('predict', *model, '--json', f'{s3.url}/p.jsonl', '--csv', f'{s3.url}/p.csv', '--device', 'cpu') == 0
    rows = [json.loads(line) for line in location(f'{s3.url}/p.jsonl').read_text().splitlines()]
    assert [Path(row['video']).name for row in rows] == ['0000.mp4', '0001.mp4', '0002.mp4']
    assert sum('p.jsonl' in name for name in puts(s3)) <= 2
    assert run('features', *model, f'{s3.url}/f.npy', '--device', 'cpu') == 0
    with location(f'{s3.url}/f.npy').open('rb') as file:
        assert np.load(file).shape[0] == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('command', ['attention', 'quickstart', 'predict'])
def test_what_takes_a_local_path_alone_says_so(command, s3, motion, tiny_checkpoint, capfd):
    video, out = motion / 'test/left/0000.mp4', f'{s3.url}/out.png'
    words = dict(attention=[video, CONFIG, tiny_checkpoint, out], quickstart=['--out', out])
    words['predict'] = [video, CONFIG, tiny_checkpoint, '--timeline', out]
    assert run(command, *words[command]) == 2
    assert f'{out}, an address; it must be a local path' in capfd.readouterr().err


@pytest.mark.parametrize(('status', 'reason'), [(403, 'no rights to it'), (404, 'there is no such bucket')])
def test_what_cannot_be_written_is_said_before_the_work(status, reason, s3, motion, capfd):
    s3.server.only = lambda asked: asked.method == 'PUT'
    s3.server.always = status
    assert run('check', motion / 'test/left', '--out', f'{s3.url}/checked') == 2
    assert reason in capfd.readouterr().err
