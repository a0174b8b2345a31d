"""Names for videos from the shell."""

import csv
import json
import os
import re
import runpy
import shutil
import signal
import time
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import warm
from helpers import MOTION_CLASSES
from mmengine.config import Config
from runs import ROOT, TINY, run_tool
from videos import grey_frames, write_greys

from mmtsf.apis import inference_recognizer, predictions
from mmtsf.apis.predictions import find_videos
from mmtsf.commands import run
from mmtsf.commands.predict import is_camera_or_stream
from mmtsf.datasets.decoders import open_video
from mmtsf.utils.tables import read_table


def test_a_broken_file_does_not_stop_the_rest(motion, model, tiny_checkpoint, tmp_path):
    folder = tmp_path / 'videos'
    shutil.copytree(motion / 'test/left', folder)
    (folder / '0001.mp4').write_bytes(b'no video')
    files = ('--json', tmp_path / 'all.json', '--csv', tmp_path / 'all.csv')
    log = run_tool('tools/predict.py', folder, TINY, tiny_checkpoint, '--topk', 2, *files, fails=True)
    assert f'{folder}/0001.mp4: not read: PyAV finds no video that it can decode' in log
    predictions = json.loads((tmp_path / 'all.json').read_text())
    assert [prediction['video'] for prediction in predictions] == [f'{folder}/000{i}.mp4' for i in range(3)]
    assert predictions[1]['error']
    scores = inference_recognizer(model, folder / '0002.mp4').pred_scores.item
    best = int(scores.argmax())
    assert predictions[2]['names'][0] == MOTION_CLASSES[best]
    assert predictions[2]['scores'][0] == pytest.approx(float(scores[best]), abs=1e-6)
    assert f'{folder}/0002.mp4: {MOTION_CLASSES[best]} {scores[best]:.0%}, ' in log
    rows = list(csv.DictReader((tmp_path / 'all.csv').open()))
    assert [row['rank'] for row in rows] == ['1', '2', '', '1', '2']
    assert rows[3]['name'] == MOTION_CLASSES[best]


def test_a_pattern_takes_what_it_matches(motion, tiny_checkpoint):
    log = run_tool('tools/predict.py', f'{motion}/test/**/0001.mp4', TINY, tiny_checkpoint)
    assert re.findall(r'test/(\w+)/0001\.mp4: ', log) == MOTION_CLASSES


def test_nothing_to_read_is_said(motion, tiny_checkpoint):
    log = run_tool('tools/predict.py', 'none/*.mp4', TINY, tiny_checkpoint, fails=True)
    assert 'none/*.mp4 is no file or folder, and as a pattern it matches none' in log


def test_a_timeline_is_a_table_and_a_picture(tiny_checkpoint, tmp_path):
    path = write_greys(tmp_path / 'video.mp4', 100, fps=10)
    out = tmp_path / 'named.mp4'
    arguments = ('--timeline', tmp_path / 'over_time', '--json', tmp_path / 'mean.json', '--save-video', out)
    run_tool('tools/predict.py', path, TINY, tiny_checkpoint, *arguments)
    rows = list(csv.DictReader((tmp_path / 'over_time/video.mp4.csv').open()))
    assert [(row['start'], row['end']) for row in rows] == [
        ('0.00', '2.30'),
        ('2.30', '4.60'),
        ('4.60', '6.90'),
        ('6.90', '9.10'),
        ('9.10', '10.00'),
    ]
    table = np.array([[float(row[name]) for name in MOTION_CLASSES] for row in rows])
    assert table.sum(1) == pytest.approx(np.ones(5), abs=3e-4)
    (mean,) = json.loads((tmp_path / 'mean.json').read_text())
    assert dict(zip(mean['names'], mean['scores'])) == pytest.approx(dict(zip(MOTION_CLASSES, table.mean(0))), abs=1e-4)
    assert cv2.imread(str(tmp_path / 'over_time/video.mp4.png')).shape[1] > 1000
    named, plain = open_video(str(out)), open_video(path)
    assert (named.num_frames, named.fps) == (100, 10)
    first = [reader.read(np.array([0]))[0].astype(int) for reader in (named, plain)]
    assert np.abs(first[0] - first[1])[:32].max() > 100  # words
    assert np.abs(first[0] - first[1])[-8:].max() < 8


def test_a_file_is_played_live(tiny_checkpoint, tmp_path):
    path = write_greys(tmp_path / 'video.mp4', 60, fps=30)
    log = run_tool('tools/predict.py', path, TINY, tiny_checkpoint, '--live')
    assert re.search(r'60 frames, 13 windows: \d+ classified, \d+ dropped; delay 0\.\d+ s, at most \d\.\d+ s', log)
    assert 's behind)' in log


@pytest.mark.parametrize(
    ('number', 'code', 'name'), [(signal.SIGINT, 130, 'all.json'), (signal.SIGTERM, 143, 'all.jsonl')]
)
def test_what_was_done_when_it_was_stopped_is_kept(number, code, name, motion, tiny_checkpoint, tmp_path):
    videos = tmp_path / 'videos'
    for copy in range(20):
        shutil.copytree(motion / 'test', videos / str(copy))
    files = ('--json', str(tmp_path / name), '--csv', str(tmp_path / 'all.csv'))
    with (tmp_path / 'log').open('w') as log:
        words = ['tools/predict.py', str(videos), TINY, str(tiny_checkpoint), *files]
        process = warm.start(words, ROOT, dict(os.environ, OMP_NUM_THREADS='1'), log)
        while (tmp_path / 'log').read_text().count('.mp4: ') < 3:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(60) == code
    text = (tmp_path / name).read_text()
    rows = json.loads(text) if name == 'all.json' else list(map(json.loads, text.splitlines()))
    table = list(csv.DictReader((tmp_path / 'all.csv').open()))
    assert 3 <= len(rows) < 240
    assert list(dict.fromkeys(row['video'] for row in table)) == [row['video'] for row in rows]
    last = (tmp_path / 'log').read_text().splitlines()[-1]
    assert last == f'stopped: {len(rows)} of 240 videos are done; they are in {files[1]} and {files[3]}'


def test_a_run_s_own_checkpoint_needs_no_config(motion, tiny_checkpoint, tmp_path, capsys, refused):
    work_dir = tmp_path / 'work_dirs/run'
    work_dir.mkdir(parents=True)
    checkpoint = shutil.copy(tiny_checkpoint, work_dir / 'epoch_1.pth')
    Config.fromfile(ROOT / TINY).dump(work_dir / 'tiny.py')
    words = [f'{motion}/test/left/0000.mp4', str(checkpoint), '--topk', '1', '--cfg-options', 'view=1x3']
    with pytest.raises(SystemExit) as end:
        run('predict', words)
    printed = capsys.readouterr()
    assert end.value.code == 0
    assert printed.err == f'config: {work_dir}/tiny.py\n'
    assert re.fullmatch(r'\S+/0000.mp4: \w+ \d+%\n', printed.out)
    (work_dir / 'other.py').write_text('model = None\n')
    with refused(r'epoch_1.pth there are other.py, tiny.py; name it before the checkpoint: CONFIG '):
        run('predict', words)


def test_a_timeline_that_is_stopped_leaves_what_was_scored_under_another_name(tiny_checkpoint, tmp_path, monkeypatch):
    usual = predictions.timeline

    def stopped(*args):
        yield from islice(usual(*args), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(predictions, 'timeline', stopped)
    path = write_greys(tmp_path / 'video.mp4', 100, fps=10)
    words = [path, str(ROOT / TINY), str(tiny_checkpoint), '--timeline', str(tmp_path / 'over_time')]
    with pytest.raises(SystemExit) as end:
        run('predict', words)
    assert end.value.code == 130
    (table,) = (tmp_path / 'over_time').iterdir()
    assert table.name == 'video.mp4.part.csv'
    assert [row['end'] for row in csv.DictReader(table.open())] == ['2.30', '4.60']


def test_words_on_frames_need_one_file(motion, tiny_checkpoint, tmp_path):
    arguments = [motion / 'test', TINY, tiny_checkpoint, '--save-video', tmp_path / 'out.mp4']
    assert '--save-video is for one file, but the input is 12 files' in run_tool(
        'tools/predict.py', *arguments, fails=True
    )


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--json', '{t}/none/all.json'], '--json is .* but there is no folder'),
        (['--csv', '{t}/none/all.csv'], '--csv is .* but there is no folder'),
        (['--csv', '{t}'], '--csv is .* which is a folder'),
        (['--timeline', '{t}/none/over_time'], '--timeline is .* but there is no folder'),
        (['--timeline', '{t}/old'], '--timeline is .* which is a file'),
        (['--save-video', '{t}/none/out.mp4'], '--save-video is .* but there is no folder'),
        (['--save-video', '{t}/video.mp4'], '--save-video is .* which is read and would be written over'),
        (['--json', '{t}/link.mp4'], '--json is .* which is read and would be written over'),
        (['--save-video', '{t}/out.gif'], 'expected a name that ends in .mp4'),
        (['--save-video', '{t}/out'], 'expected a name that ends in .mp4'),
        (['--json', '/proc/all.json'], '--json is .* which cannot be written'),
        (['--live', '--csv', '{t}/all.csv'], '--json, --csv and --timeline are for files, but the input .* is live'),
        (['--live', '--timeline', '{t}/over_time'], 'are for files, but the input .* is live'),
    ],
)
def test_what_cannot_be_written_is_said_before_the_model_is_read(tmp_path, monkeypatch, refused, words, message):
    video = tmp_path / 'video.mp4'
    video.write_bytes(b'video')
    (tmp_path / 'old').write_text('old')
    (tmp_path / 'link.mp4').symlink_to(video)
    before = sorted(tmp_path.rglob('*'))
    # there is no such checkpoint, and it is not asked for
    arguments = ['predict.py', str(video), TINY, 'none.pth', *(word.format(t=tmp_path) for word in words)]
    monkeypatch.setattr('sys.argv', arguments)
    monkeypatch.chdir(ROOT)
    with refused(message):
        runpy.run_path(str(ROOT / 'tools/predict.py'), run_name='__main__')
    assert sorted(tmp_path.rglob('*')) == before
    assert video.read_bytes() == b'video'


def test_names_that_would_be_formulas_are_texts_in_both_tables(tiny_checkpoint, tmp_path, monkeypatch):
    checkpoint = torch.load(tiny_checkpoint, weights_only=True)
    checkpoint['meta']['dataset_meta']['classes'] = names = ['=1+1', '-jump', '@home', 'plain']
    torch.save(checkpoint, tmp_path / 'formulas.pth')
    write_greys(tmp_path / '=cmd.mp4', 60, fps=10)
    files = ['--csv', str(tmp_path / 'all.csv'), '--timeline', str(tmp_path / 'over_time')]
    arguments = ['predict.py', str(tmp_path / '=cmd.mp4'), TINY, str(tmp_path / 'formulas.pth'), *files]
    monkeypatch.setattr('sys.argv', arguments)
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / 'tools/predict.py'), run_name='__main__')
    assert not end.value.code
    with (tmp_path / 'over_time/=cmd.mp4.csv').open(newline='') as file:
        header, *rows = csv.reader(file)
    assert header == ['start', 'end', "'=1+1", "'-jump", "'@home", 'plain']
    assert all(float(cell) >= 0 for row in rows for cell in row)
    written = [row['name'] for row in csv.DictReader((tmp_path / 'all.csv').open(newline=''))]
    assert sorted(written) == sorted(f"'{name}" if name != 'plain' else name for name in names)
    assert {row['name'] for row in read_table(tmp_path / 'all.csv')} == set(names)


NAMES = ['12:30:00.mp4', '-x.mp4', 'http:/127.0.0.1:9/a.mp4', 'file:/a.mp4', 'subfile,,start,0,end,9,,:a.mp4']


@pytest.mark.parametrize('name', NAMES)
def test_a_file_is_found_by_its_name_whatever_that_looks_like(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).touch()
    assert find_videos(name) == [name]
    assert not is_camera_or_stream(name.replace(':/', '://'))


@pytest.mark.parametrize(
    ('source', 'expected'),
    [
        ('0', True),
        ('rtsp://host/x', True),
        ('http://host/x.mp4', False),
        ('http://host/live', True),
        ('x.mp4', False),
        ('12:30.mp4', False),
    ],
)
def test_numbers_and_addresses_are_live(source, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_camera_or_stream(source) is expected


def test_files_of_every_kind_are_classified_or_named(motion, tiny_checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(motion / 'test/left/0000.mp4', '12:30:00.mp4')
    Path('frames').mkdir()
    for number, frame in enumerate(grey_frames(24, 112, 112)):
        cv2.imwrite(f'frames/{number}.png', frame)
    os.mkfifo('frames/24.png')
    os.mkfifo('fifo.mp4')
    Path('loop.mp4').symlink_to('loop.mp4')
    Path('list.mp4').write_text('#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n12:30:00.mp4\n#EXT-X-ENDLIST\n')

    def predict(source: str, *more: str) -> tuple[int, str]:
        words = [source, str(ROOT / TINY), str(tiny_checkpoint), '--device', 'cpu', *more]
        with pytest.raises(SystemExit) as end:
            run('predict', words)
        return end.value.code, ''.join(capsys.readouterr())

    status, log = predict('.')
    assert status == 1
    assert '12:30:00.mp4: ' in log
    for name, reason in (
        ('fifo.mp4', 'it is no regular file'),
        ('loop.mp4', 'the file cannot be opened: Too many levels of symbolic links'),
        ('list.mp4', 'PyAV finds no video that it can decode'),
    ):
        assert f'{name}: not read: {reason}' in log
    assert predict('12:30:00.mp4')[0] == predict('frames')[0] == 0
    status, log = predict('12:30:00.mp4', '--timeline', 'over_time', '--cfg-options', 'limits.frames=5')
    assert (status, 'it has more frames than limits.frames allows, 5' in log) == (1, True)
    status, log = predict('list.mp4', '--live')
    assert (status, 'list.mp4: not read: PyAV finds no video' in log) == (1, True)
