"""Pictures and pages about models and data."""

import base64
import csv
import re
import shutil

import cv2
import numpy as np
import pytest
from helpers import MOTION_CLASSES
from runs import TINY, in_process, run_tool
from videos import write_greys

from mmtsf.datasets.decoders import open_video
from mmtsf.evaluation.report import write_report

ATTENTION = 'tools/analysis/visualize_attention.py'


def test_attention_is_a_strip_and_a_video_with_a_part_for_each_step(motion, tiny_checkpoint, tmp_path):
    path = next(motion.glob('test/left/*.mp4'))
    run_tool(ATTENTION, path, TINY, tiny_checkpoint, tmp_path / 'a.png')
    assert cv2.imread(str(tmp_path / 'a.png')).shape[1] > 1000
    reader = open_video(str(tmp_path / 'a.mp4'))
    assert reader.num_frames == 22  # from the first of 8 frames, 3 apart, to the last
    frames = reader.read(np.array([0, 21]))
    assert frames.shape[1:3] == (320, 4 * 320)  # the frame, and its attention over all steps, time and space
    plain, *covered = np.split(frames.astype(int), 4, axis=2)
    assert all(np.abs(part - plain).mean() > 10 for part in covered)
    assert np.abs(covered[1] - covered[2]).mean() > 1


def test_a_film_is_the_whole_video_beside_its_attention(motion, tiny_checkpoint, tmp_path):
    path = next(motion.glob('test/left/*.mp4'))
    for name in ('a.mp4', 'a.gif'):
        in_process('attention', path, TINY, tiny_checkpoint, tmp_path / name)
    whole, film, gif = (open_video(str(name)) for name in (path, tmp_path / 'a.mp4', tmp_path / 'a.gif'))
    assert film.num_frames == whole.num_frames
    assert film.read(np.array([0])).shape[1:3] == (320, 640)
    assert gif.times[-1] == pytest.approx(whole.num_frames / whole.fps, abs=0.2)
    assert gif.read(np.array([0])).shape[1:3] == (260, 520)


def test_one_step_of_one_patch_is_drawn(motion, tiny_checkpoint, tmp_path):
    arguments = [next(motion.glob('test/left/*.mp4')), TINY, tiny_checkpoint, tmp_path / 'a.png']
    in_process('attention', *arguments, '--step', 'time', '--block', 1, '--head', 0, '--query', 3, 2, 2)
    assert open_video(str(tmp_path / 'a.mp4')).read(np.array([0])).shape[2] == 2 * 320
    with pytest.raises(ValueError, match='the classification token takes no part in the step time'):
        in_process('attention', *arguments, '--step', 'time')
    with pytest.raises(ValueError, match=r"step is 'height', expected one of \['time', 'space'\]"):
        in_process('attention', *arguments, '--step', 'height')


@pytest.mark.parametrize('split', ['train', 'test'])
def test_the_sheet_of_a_data_set_shows_its_clips(motion, tmp_path, split):
    out, options = tmp_path / 'sheet.png', ('--cfg-options', f'data.root={motion}', 'views.num_crops=3')
    log = run_tool('tools/analysis/browse_dataset.py', TINY, out, '--split', split, '--clips', 3, *options)
    assert f'wrote {3 if split == "train" else 9} clips of 3 videos' in log
    assert cv2.imread(str(out)).std() > 20


def test_a_report_names_the_worst_class_and_shows_the_surest_error(tmp_path):
    video = write_greys(tmp_path / 'a & b.mp4', 30)
    rows = [
        [video, 'left', 'right', '0.9', '0.1'],
        ['gone.mp4', 'left', 'right', '0.99', '0.0'],
        ['x.mp4', 'right', 'right', '0.8', '0.8'],
        ['y.mp4', 'right', 'left', '0.6', '0.4'],
        ['z.mp4', 'right', 'right', '0.7', '0.7'],
    ]
    with (tmp_path / 'predictions.csv').open('w', newline='') as file:
        csv.writer(file).writerows([['video', 'class', 'predicted', 'score', 'score_of_class'], *rows])
    log = run_tool('tools/analysis/analyze_results.py', tmp_path, tmp_path / 'report.html')
    assert '5 videos, 3 errors' in log
    page = (tmp_path / 'report.html').read_text()
    assert '2 of 5 videos right: <b>40.0 %</b>' in page
    assert page.index('<td>left') < page.index('<td>right')  # 0 of 2 right, then 2 of 3
    assert re.search(r'<td>right<td class="n">3<td class="n">2\s', page)
    assert [page.index(name) for name in ('gone.mp4 (the file does not exist)', 'a &amp; b.mp4', 'y.mp4')] == sorted(
        page.index(name) for name in ('gone.mp4', 'a &amp; b.mp4', 'y.mp4')
    )
    (picture,) = re.findall(r'data:image/jpeg;base64,([^"]+)', page)
    assert cv2.imdecode(np.frombuffer(base64.b64decode(picture), np.uint8), cv2.IMREAD_COLOR).shape == (96, 768, 3)
    assert 'http' not in page
    assert page.count('<video') == 1
    assert 'src="a%20%26%20b.mp4#t=' in page  # from where it lies, as seen from the page


def test_a_reader_of_a_report_filters_it_and_plays_its_videos(tmp_path):
    sync_api = pytest.importorskip('playwright.sync_api')
    video = write_greys(tmp_path / 'a & b.mp4', 30)
    rows = [[video, '<b>left</b>', 'right', '0.9', '0.1'], ['y.mp4', 'right', 'up', '0.6', '0.4']]
    with (tmp_path / 'predictions.csv').open('w', newline='') as file:
        csv.writer(file).writerows([['video', 'class', 'predicted', 'score', 'score_of_class'], *rows])
    write_report(tmp_path, tmp_path / 'report.html')
    with sync_api.sync_playwright() as playwright:
        if not (chromium := shutil.which('chromium')):
            pytest.skip('needs Chromium')
        browser = playwright.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
        page = browser.new_page()
        page.goto((tmp_path / 'report.html').as_uri())
        assert page.inner_text('#told') == '2 wrong predictions shown below'
        page.select_option('#filter', '<b>left</b>')
        assert page.inner_text('#told') == '1 wrong prediction shown below'
        assert page.locator('figure:visible').inner_text().startswith('<b>left</b>, taken for right: 90.0 %')
        assert page.locator('tr[data-classes]:visible').count() == 1
        page.locator('video').evaluate('video => video.play()')
        page.wait_for_function("document.querySelector('video').currentTime > 0.2")
        browser.close()


def test_a_test_leaves_what_the_report_reads(motion, tiny_checkpoint, tmp_path):
    run_tool('tools/test.py', TINY, tiny_checkpoint, '--work-dir', tmp_path, '--cfg-options', f'data.root={motion}')
    run_tool('tools/analysis/analyze_results.py', tmp_path, tmp_path / 'report.html')
    page = (tmp_path / 'report.html').read_text()
    assert all(f'<td>{name}' in page for name in MOTION_CLASSES)
    assert 'data:image/png;base64,' in page
