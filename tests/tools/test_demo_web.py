"""The page in a real browser: Debian's Chromium."""

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import MOTION_CLASSES
from runs import ROOT, TINY, free_port
from videos import write_greys

playwright = pytest.importorskip('playwright.sync_api')
pytest.importorskip('gradio')
CHROMIUM = shutil.which('chromium')
if CHROMIUM is None:
    pytest.skip('chromium is not installed: apt-get install chromium', allow_module_level=True)
#: What keeps Chromium from asking for anything beyond the page
OFFLINE = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-sync']
SECOND = 1000  # of Playwright's clock


@pytest.fixture(scope='module')
def address(motion, tiny_checkpoint, tmp_path_factory) -> Iterator[str]:
    """The page of a small model, with small limits."""
    port, log = free_port(), tmp_path_factory.mktemp('page') / 'log'
    limits = ('--max-megabytes', '1', '--max-minutes', '0.1')
    command = ['tools/demo_web.py', TINY, tiny_checkpoint, '--samples', motion / 'test', '--port', port, *limits]
    with log.open('w') as out:
        server = subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=ROOT,
            env=dict(os.environ, OMP_NUM_THREADS='1'),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    url = f'http://127.0.0.1:{port}'
    for _ in range(240):
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(url, timeout=1).close()
            break
        except OSError:
            time.sleep(0.5)
    yield url
    server.terminate()
    server.wait()


@pytest.fixture
def page(address) -> Iterator['playwright.Page']:
    """The page, opened anew; whatever it asks of another machine is noted."""
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=CHROMIUM, args=OFFLINE)
        page = browser.new_page(viewport=dict(width=1200, height=1000))
        page.elsewhere = []
        page.on('request', lambda request: request.url.startswith(('http', 'ws')) and page.note(request.url))
        page.note = lambda url: None if address.split('//')[1] in url else page.elsewhere.append(url)
        page.goto(address)
        page.get_by_role('button', name='What is it?').wait_for()
        yield page
        browser.close()


def upload(page: 'playwright.Page', path: Path | str) -> None:
    page.locator('#video input[type=file]').set_input_files(str(path))


def test_a_video_is_named_drawn_over_time_and_shown_with_attention(page, motion):
    upload(page, next(motion.glob('test/left/*.mp4')))
    page.locator('#video video').wait_for(timeout=30 * SECOND)
    page.get_by_role('button', name='What is it?').click()
    page.locator('#attention video').wait_for(timeout=60 * SECOND)
    page.locator('#timeline img').wait_for()
    names = page.locator('#names').inner_text()
    assert all(name in names for name in MOTION_CLASSES)
    assert sum(int(word[:-1]) for word in names.split() if word.endswith('%')) == pytest.approx(100, abs=2)
    page.wait_for_function("document.querySelector('#attention video').currentTime > 0.1", timeout=30 * SECOND)
    size = page.evaluate("(v => [v.videoWidth, v.videoHeight])(document.querySelector('#attention video'))")
    assert size == [96, 48]  # frame and map side by side
    assert page.elsewhere == []
    if target := os.environ.get('SCREENSHOT'):
        page.screenshot(path=target, full_page=True)


def test_a_sample_is_chosen_by_a_click(page):
    page.locator('.gallery-item, .gallery button, table tr button').first.click()
    page.locator('#video video').wait_for(timeout=30 * SECOND)


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('text.mp4', 'This file is no video that can be read'),
        ('long.mp4', 'this page takes up to 0.1'),
        ('large.mp4', 'exceed the maximum allowed size'),
    ],
)
def test_what_it_cannot_take_is_said_in_one_message(page, tmp_path, name, words):
    path = tmp_path / name
    if name == 'text.mp4':
        path.write_text('no video')
    elif name == 'long.mp4':
        write_greys(path, 300)
    else:
        path.write_bytes(os.urandom(2_000_000))
    upload(page, path)
    if name != 'large.mp4':
        page.get_by_role('button', name='What is it?').click()
    message = page.get_by_text(words)
    message.first.wait_for(timeout=30 * SECOND)
    assert message.count() == 1


def test_without_a_video_it_asks_for_one(page):
    page.get_by_role('button', name='What is it?').click()
    page.get_by_text('Upload a video or choose a sample first.').wait_for(timeout=10 * SECOND)
