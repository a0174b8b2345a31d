"""Real servers of object storage on this machine, which count and fail on demand: S3 (moto), and the web with ranges.

Fixtures of every test: ``s3`` is a new bucket, ``web`` a new folder on a web server. What they need is imported when
one is used.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

KEYS = dict(AWS_ACCESS_KEY_ID='mine', AWS_SECRET_ACCESS_KEY='secret', AWS_DEFAULT_REGION='us-east-1')
#: What the libraries read besides, and may be set where the tests run
OTHERS = ('AWS_PROFILE', 'AWS_SESSION_TOKEN', 'FSSPEC_S3_ENDPOINT_URL', 'http_proxy', 'https_proxy', 'HTTP_PROXY')


@dataclass
class Asked:
    """A request, and how many bytes of the body were sent."""

    method: str
    path: str
    range: str | None
    sent: int = 0


@dataclass
class Counted:
    """A server that keeps what it is asked for, and fails on demand.

    Attributes:
        app (Callable): What answers.
        asked (list[Asked]): All requests.
        faults (list): For the next requests, one after the other: a status (503, 403), ``'break'`` to hang up in the
            middle of the body, ``'hang'`` not to answer for some seconds, or None to answer.
        always: The same for all requests after these. Defaults to None.
        only (Callable): Which requests these are for. Defaults to all.
    """

    app: Callable
    asked: list[Asked] = field(default_factory=list)
    faults: list[Any] = field(default_factory=list)
    always: Any = None
    only: Callable[[Asked], bool] = lambda asked: True
    port: int = 0

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        asked = Asked(environ['REQUEST_METHOD'], environ['PATH_INFO'], environ.get('HTTP_RANGE'))
        self.asked.append(asked)
        fault = (self.faults.pop(0) if self.faults else self.always) if self.only(asked) else None
        if isinstance(fault, int):
            start_response(f'{fault} On Demand', [('Content-Length', '0')])
            return []
        if fault == 'hang':
            time.sleep(3)
        return self._body(asked, self.app(environ, start_response), fault)

    def _body(self, asked: Asked, body: Iterable[bytes], fault: Any) -> Iterator[bytes]:
        try:
            for piece in body:
                if fault == 'break':
                    yield piece[: len(piece) // 2]
                    raise BrokenPipeError
                asked.sent += len(piece)
                yield piece
        finally:
            getattr(body, 'close', lambda: None)()

    def clear(self) -> None:
        """Forget what was asked, and fail no more."""
        self.asked.clear()
        self.faults.clear()
        self.always = None
        self.only = lambda asked: True

    @property
    def sent(self) -> int:
        """Bytes that were sent in all."""
        return sum(asked.sent for asked in self.asked)


@contextmanager
def serving(app: Callable) -> Iterator[Counted]:
    """Serve a WSGI application on loopback, each request in a thread."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = 'HTTP/1.1'
        log = log_request = lambda *_: None

    counted = Counted(app)
    server = make_server('127.0.0.1', 0, counted, threaded=True, request_handler=Quiet)
    server.daemon_threads = True
    server.log = lambda *_: None
    counted.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.02), daemon=True)
    thread.start()
    yield counted
    server.shutdown()
    thread.join()
    server.server_close()


def files_of(root: Path) -> Callable:
    """A web server's files with ranges, ETags and, for folders, a page of links."""
    from werkzeug.exceptions import NotFound
    from werkzeug.utils import safe_join, send_file
    from werkzeug.wrappers import Request, Response

    @Request.application
    def app(request: Request) -> Response:
        inner = request.path.lstrip('/')
        path = safe_join(str(root), inner) if inner else str(root)
        if path is None or not os.path.exists(path):
            return NotFound().get_response()
        if not os.path.isdir(path):
            return send_file(path, request.environ, conditional=True)
        entries = sorted(Path(path).iterdir())
        links = [f'{quote(entry.name)}{"/" if entry.is_dir() else ""}' for entry in entries]
        return Response(''.join(f'<a href="{escape(link)}">x</a>' for link in links), mimetype='text/html')

    return app


@dataclass
class Store:
    """A bucket, or a folder on a web server.

    Attributes:
        url (str): Its address, without a slash at its end.
        server (Counted): Its server.
        root (Path, optional): Folder of a web server's files.
    """

    url: str
    server: Counted
    root: Path | None = None

    def put(self, name: str, content: bytes | str | Path) -> str:
        """Store a file, without counting it; return its address."""
        data = content.read_bytes() if isinstance(content, Path) else content
        data = data.encode() if isinstance(data, str) else data
        if self.root:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_bytes(data)
            return f'{self.url}/{quote(name)}'
        import fsspec

        before = list(self.server.asked)
        fsspec.filesystem('s3').pipe_file(f'{self.url.removeprefix("s3://")}/{name}', data)
        self.server.asked[:] = before
        return f'{self.url}/{name}'

    def put_folder(self, folder: Path, under: str = '') -> str:
        """Store what a folder holds; return the address of the folder."""
        for place, _, names in os.walk(folder, followlinks=True):
            for file in (Path(place, name) for name in sorted(names)):
                self.put(f'{under}/{file.relative_to(folder)}'.lstrip('/'), file)
        return f'{self.url}/{under}'.rstrip('/')


@pytest.fixture(scope='session')
def s3_server() -> Iterator[Counted]:
    """A server of S3."""
    import fsspec
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    fsspec.get_filesystem_class('s3').clear_instance_cache()  # which found no credentials yet
    with serving(DomainDispatcherApplication(create_backend_app)) as server:
        yield server


@pytest.fixture
def s3(s3_server: Counted, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A new bucket ``s3://...``, which the libraries find by the environment, also in processes begun from here."""
    import fsspec

    for name in OTHERS:
        monkeypatch.delenv(name, raising=False)
    for name, value in dict(KEYS, AWS_ENDPOINT_URL=f'http://127.0.0.1:{s3_server.port}').items():
        monkeypatch.setenv(name, value)
    s3_server.clear()
    bucket = f'bucket-{time.monotonic_ns()}'
    fsspec.filesystem('s3').mkdir(bucket)
    s3_server.clear()
    yield Store(f's3://{bucket}', s3_server)
    s3_server.clear()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Store]:
    """A new folder on a web server: ``http://127.0.0.1:...``."""
    root = tmp_path / 'web'
    root.mkdir()
    with serving(files_of(root)) as server:
        yield Store(f'http://127.0.0.1:{server.port}', server, root)
