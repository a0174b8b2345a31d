"""The page in a real browser: Debian's Chromium."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers import skip_without
from PIL import Image
from videos import write_greys

playwright = pytest.importorskip('playwright.sync_api')
skip_without('gradio')
from page import Served, Visitor, served  # noqa: E402

CHROMIUM = shutil.which('chromium')
if CHROMIUM is None:
    pytest.skip('chromium is not installed: apt-get install chromium', allow_module_level=True)
#: What keeps Chromium from asking for anything beyond the page
OFFLINE = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-sync']
SECOND = 1000  # of Playwright's clock
CLASSES = ['left', '<img src=x onerror=alert(1)>', '{{right}} ${alert(2)}', 'right & "then" left']


@pytest.fixture(scope='module')
def server(motion, tiny_checkpoint, tmp_path_factory) -> Iterator[Served]:
    """The page of a small model whose classes are called like HTML, with small limits."""
    folder = tmp_path_factory.mktemp('page')
    state = torch.load(tiny_checkpoint, weights_only=False)
    torch.save(state | dict(meta=dict(dataset_meta=dict(classes=CLASSES))), folder / 'named.pth')
    words = ('--samples', motion / 'test', '--max-megabytes', 1, '--max-minutes', 0.2)
    with served(folder, folder / 'named.pth', *words) as server:
        yield server


@pytest.fixture(scope='module')
def browser() -> Iterator['playwright.Browser']:
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=CHROMIUM, args=OFFLINE)
        yield browser
        browser.close()


@pytest.fixture(scope='module')
def desk(browser) -> 'playwright.BrowserContext':
    """A reader at a desk, whose browser keeps the scripts of the page."""
    return browser.new_context(viewport=dict(width=1280, height=1000))


@pytest.fixture
def page(browser, desk, server, request) -> Iterator['playwright.Page']:
    """The page, opened anew; whatever it asks of another machine, and whatever script runs wild, is noted."""
    look = getattr(request, 'param', None)
    page = (browser.new_context(**look) if look else desk).new_page()
    page.wrong = []
    page.on('request', lambda request: request.url.startswith(('http', 'ws')) and page.note(request.url))
    page.note = lambda url: None if server.address.split('//')[1] in url else page.wrong.append(url)
    page.on('dialog', lambda dialog: (page.wrong.append(dialog.message), dialog.dismiss()))
    page.on('pageerror', lambda error: page.wrong.append(str(error)))
    open_at(page, server.address)
    yield page
    page.close()
    assert page.wrong == []


def open_at(page: 'playwright.Page', address: str) -> None:
    """Open the page, and wait until all its parts are there."""
    page.goto(address)
    page.get_by_text('press Recognize').wait_for()
    for part in ('#names li', '#timeline .track', '[data-name]'):
        page.locator(part).first.wait_for()


def upload(page: 'playwright.Page', path: Path | str) -> None:
    page.locator('#video input[type=file]').set_input_files(str(path))


def recognize(page: 'playwright.Page') -> None:
    page.get_by_role('button', name='Recognize').click()


def status(page: 'playwright.Page', words: str) -> None:
    """Wait for words in the line of status."""
    page.locator('#note [role=status]').filter(has_text=words).wait_for(timeout=60 * SECOND)


def boxes(page: 'playwright.Page') -> list[list[float]]:
    """Where on the page its parts begin and end, when all are there: Gradio makes some anew."""
    parts = "['video', 'timeline', 'classify', 'note', 'names'].map(id => document.getElementById(id))"
    page.wait_for_function(f'{parts}.every(part => part)')
    sides = '[box.left, box.right, box.top + scrollY, box.bottom + scrollY]'
    return page.evaluate(f'{parts}.map(part => part.getBoundingClientRect()).map(box => {sides})')


@pytest.mark.parametrize(
    'page',
    [
        {},
        dict(color_scheme='dark', viewport=dict(width=390, height=800), is_mobile=True, has_touch=True),
    ],
    indirect=True,
    ids=['desk', 'phone'],
)
def test_a_video_is_named_drawn_over_time_and_shown_with_attention(page, motion):
    before = boxes(page)
    upload(page, next(motion.glob('test/left/*.mp4')))
    page.locator('#video video').wait_for(timeout=30 * SECOND)
    recognize(page)
    page.locator('#video canvas.attention').wait_for(timeout=60 * SECOND)
    status(page, 'Done')
    assert boxes(page) == before  # nothing jumps
    assert page.evaluate('document.documentElement.scrollWidth <= innerWidth')
    rows = [row.inner_text().split('\n') for row in page.locator('#names li').all()]
    assert {name for name, _ in rows} == set(CLASSES)
    assert sum(int(share.removesuffix('%')) for _, share in rows) == pytest.approx(100, abs=2)
    page.wait_for_function("document.querySelector('#video video').currentTime > 0.1", timeout=30 * SECOND)
    video, layer = (page.locator(f'#video {part}').bounding_box() for part in ('video', 'canvas.attention'))
    side = min(video['width'], video['height'])  # the videos are square
    assert (layer['width'], layer['height']) == (pytest.approx(side, abs=1), pytest.approx(side, abs=1))
    assert layer['x'] + side / 2 == pytest.approx(video['x'] + video['width'] / 2, abs=1.5)
    light = page.evaluate('getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)')
    assert (max(light[:3]) < 60) == (page.viewport_size['width'] == 390)
    if target := os.environ.get('SCREENSHOT'):
        page.screenshot(path=target, full_page=True)


def test_the_timeline_is_a_band_of_names_that_a_click_goes_to_and_the_slider_sets_the_attention(page, motion):
    page.locator('[data-name=right]').click()
    assert {button.get_attribute('data-name') for button in page.locator('[data-name]').all()} == {
        folder.name for folder in (motion / 'test').iterdir()
    }
    page.locator('#video video').wait_for(timeout=30 * SECOND)
    recognize(page)
    status(page, 'Done')
    bands = page.locator('#timeline button')
    assert {band.inner_text() for band in bands.all()} <= set(CLASSES)
    page.evaluate("document.querySelector('#video video').pause()")
    last = bands.last
    start, width = (float(part.split('%')[0]) / 100 for part in last.get_attribute('style').split(': ')[1:3])
    at = "(v => v.currentTime / v.duration)(document.querySelector('#video video'))"
    last.click()  # in the middle of it
    assert page.evaluate(at) == pytest.approx(start + width / 2, abs=0.02)
    last.press('Enter')
    assert page.evaluate(at) == pytest.approx(start, abs=0.02)
    total = """() => (c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].reduce((a, b) => a + b))(
        document.querySelector('#video canvas.attention'))"""
    page.wait_for_function(f'({total})() > 0')
    page.locator('#attention input').fill('0')
    page.wait_for_function(f'({total})() === 0')
    page.locator('[data-name=left]').click()  # what is shown of another video goes
    page.locator('#names li.empty').first.wait_for()
    assert (bands.count(), page.locator('#video canvas').count()) == (0, 0)


def test_what_it_cannot_take_is_said_in_one_message_that_stays(page, tmp_path):
    large, picture = tmp_path / '<img src=x onerror=alert(3)>.mp4', tmp_path / 'picture.png'
    for path in (large, picture):
        path.write_bytes(os.urandom(2_000_000))
    (tmp_path / 'text.mp4').write_text('no video')
    recognize(page)
    stays(page, 'Upload a video or choose a sample first.')
    upload(page, picture)
    stays(page, 'picture.png is not called like a video')
    upload(page, large)
    stays(page, 'exceed the maximum allowed size')
    upload(page, tmp_path / 'text.mp4')
    recognize(page)
    stays(page, 'This file is no video that can be read')
    open_at(page, page.url)  # what clears a video there is made anew while it is shown
    upload(page, write_greys(tmp_path / 'long.mp4', 400))
    recognize(page)
    stays(page, 'this page takes up to 0.2')


def stays(page: 'playwright.Page', words: str) -> None:
    """Wait for an error with such words, and see that it is all that is said, and that it is left alone."""
    status(page, words)
    text = page.locator('#note [role=status]').inner_text()
    assert "'" not in text  # no stray quotes
    assert page.locator('.toast-body').filter(visible=True).count() == 0
    page.wait_for_timeout(0.5 * SECOND)
    assert page.locator('#note [role=status].error').inner_text() == text


def test_who_waits_is_told_how_many_do(page, server, tmp_path):
    first = Visitor(server)
    first.join(first.upload(Path(write_greys(tmp_path / 'x.mp4', 340, 32, 32))), 10, 3, 2)
    page.locator('[data-name=left]').click()
    page.locator('#video video').wait_for(timeout=30 * SECOND)
    recognize(page)
    status(page, 'In the queue: 1 of 1.')
    seen = 'e => { for (var o = 1; e; e = e.parentElement) o *= getComputedStyle(e).opacity; return o }'
    assert page.locator('#note [role=status]').evaluate(seen) == 1
    assert page.locator('#note [role=status]').bounding_box()['height'] > 10


@pytest.mark.long  # on a machine with a load of ten it fails in one run of three
def test_another_video_ends_the_work_on_the_one_before(page, tmp_path):
    upload(page, write_greys(tmp_path / 'first.mp4', 340, 320, 240))
    page.locator('#video video').wait_for(timeout=30 * SECOND)
    recognize(page)
    page.locator('#timeline button').first.wait_for(timeout=30 * SECOND)
    pictures = [Image.new('L', (64, 64), 25 * grey) for grey in range(10)]
    pictures[0].save(tmp_path / 'other.GIF', save_all=True, append_images=pictures[1:])
    page.locator('#video [aria-label=Clear]').first.click()  # for a moment there are two
    status(page, 'Upload a video')
    upload(page, tmp_path / 'other.GIF')  # no browser plays it as a video, or calls it one
    status(page, 'This browser cannot play the video.')
    page.wait_for_timeout(1 * SECOND)
    assert page.locator('#timeline button').count() == 0  # nothing comes of the first any more
    recognize(page)
    status(page, 'Done')
    assert page.locator('#timeline button').count() > 0
