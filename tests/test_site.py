"""The site builds without a warning and asks nothing of other machines."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from runs import ROOT

pytest.importorskip('mkdocs')
CHROMIUM = shutil.which('chromium')
#: Elements and styles that fetch something by themselves
FETCHED = re.compile(
    r'<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=["\']?(?:https?:)?//[^>]*|url\([\'"]?https?:'
)


@pytest.fixture(scope='module')
def site(tmp_path_factory) -> Path:
    """The site, built with warnings as errors."""
    folder, without = tmp_path_factory.mktemp('site'), tmp_path_factory.mktemp('without_ruff')
    (without / 'ruff.py').write_text('raise ImportError')  # or it is started to format each of a thousand signatures
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', folder]
    environment = dict(os.environ, PYTHONPATH=str(without), NO_MKDOCS_2_WARNING='1')  # which is not of the site
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    return folder


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def address(site) -> Iterator[str]:
    """Where the site is served."""
    with ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def test_every_document_is_a_page(site):
    for document in [ROOT / 'README.md', *ROOT.glob('docs/**/*.md'), *ROOT.glob('benchmarks/*.md')]:
        path = document.relative_to(ROOT).with_suffix('')
        page = path.parent if path.name == 'README' else path
        assert (site / page / 'index.html').is_file(), path


def test_every_module_has_its_reference():
    listed = [name for page in ROOT.glob('docs/api/*.md') for name in re.findall(r'^::: (\S+)', page.read_text(), re.M)]
    paths = [path.relative_to(ROOT) for part in ('', 'models/', 'datasets/') for path in ROOT.glob(f'mmtsf/{part}*')]
    modules = [
        '.'.join(path.with_suffix('').parts)
        for path in paths
        if path.suffix == '.py' or (ROOT / path / '__init__.py').exists()
    ]
    unlisted = [
        name
        for name in modules
        if not name.endswith('__init__')
        and not any(f'{known}.'.startswith(f'{name}.') or name.startswith(known) for known in listed)
    ]
    assert unlisted == ['mmtsf.registry', 'mmtsf.__main__']


def test_the_guides_come_first_and_references_show_their_sources(site):
    start = (site / 'index.html').read_text()
    assert start.index('docs/guides/own_model/') < start.index('docs/using/') < start.index('docs/api/apis/')
    assert 'Source code in' in (site / 'docs/api/apis/index.html').read_text()
    assert 'Source code in' not in (site / 'search/search_index.json').read_text()


def test_no_page_fetches_anything_from_elsewhere(site):
    for page in [*site.rglob('*.html'), *site.rglob('*.css')]:
        assert not FETCHED.search(page.read_text()), page


def test_every_public_name_of_the_packages_has_its_reference(site):
    for page in ROOT.glob('docs/api/*.md'):
        html = (site / page.relative_to(ROOT).with_suffix('') / 'index.html').read_text()
        assert ':func:' not in re.sub(r'<details.*?</details>', '', html, flags=re.DOTALL)  # which show sources
        for module in re.findall(r'^::: (\S+)', page.read_text(), re.MULTILINE):
            package = importlib.import_module(module)
            for name in [name for name in getattr(package, '__all__', []) if callable(getattr(package, name))]:
                # a function may have the name of its module
                assert re.search(rf'id="{module}.{name}(.{name})?"', html), f'{module}.{name}'


@pytest.mark.skipif(CHROMIUM is None, reason='chromium is not installed: apt-get install chromium')
def test_a_browser_asks_no_other_machine_and_finds_words(address):
    playwright = pytest.importorskip('playwright.sync_api')
    asked: list[str] = []
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox', '--disable-gpu'])
        page = browser.new_page()
        page.on('request', lambda request: asked.append(request.url))
        for path in ('/', '/docs/zoo/', '/docs/api/models/'):
            page.goto(address + path, wait_until='networkidle')
        page.click('.md-search__input')  # the index is fetched now
        page.wait_for_selector('.md-search-result__meta:has-text("Type to start searching")')
        page.keyboard.type('rollout', delay=50)
        page.wait_for_selector('.md-search-result__item')
        page.click('.md-search__input', click_count=3)
        page.keyboard.type('custom dataset', delay=50)
        page.wait_for_selector('.md-search-result__item a[href*="guides/own_parts"]')
        browser.close()
    assert asked
    assert not [url for url in asked if not url.startswith((address, 'data:', 'blob:'))]
