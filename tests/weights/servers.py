"""A real web server on this machine, with the faults of real ones."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: Begins as a file of weights does
CONTENT = b'\x80\x02' + bytes(range(256)) * 3999 + bytes(254)


@dataclass
class Served:
    """A file and how the server treats those who ask for it."""

    content: bytes = CONTENT
    headers: dict[str, str] = field(default_factory=lambda: {'ETag': '"one"'})
    #: Bytes after which the connections hang up, one after the other; then they do not
    breaks: list[int] = field(default_factory=list)
    #: Whether it knows the headers Range and If-Range
    ranges: bool = True
    if_range: bool = True
    #: Bytes by which a part begins late
    shift: int = 0
    #: What is done for each of the pieces of 50,000 bytes, as waiting
    each: Callable[[], object] = lambda: None
    #: What is sent instead of all this
    instead: Callable[[BaseHTTPRequestHandler], None] | None = None


class Handler(BaseHTTPRequestHandler):
    """Answers from the server's ``files``, and keeps what is asked for in its ``asked``."""

    protocol_version = 'HTTP/1.1'

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.asked.append((self.path, self.headers.get('Range')))
        self.server.heard.append(dict(self.headers))
        served = self.server.files.get(self.path)
        if served is None:
            self.send_error(404)
        elif served.instead:
            served.instead(self)
        else:
            self.send(served)

    def send(self, served: Served) -> None:
        asked, version = self.headers.get('Range'), self.headers.get('If-Range')
        same = version is None or version in served.headers.values() or not served.if_range
        start = int(re.search(r'\d+', asked)[0]) if asked and served.ranges and same else None
        whole = len(served.content)
        if start is not None and start >= whole:
            self.send_error(416)
            return
        first = 0 if start is None else start + served.shift
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header('Content-Range', f'bytes {first}-{whole - 1}/{whole}')
        length = {'Content-Length': str(whole - first)}
        for name, value in (length | served.headers).items():
            self.send_header(name, value)
        self.end_headers()
        body = served.content[first:]
        body = body[: served.breaks.pop(0)] if served.breaks else body
        for at in range(0, len(body), 50_000):
            served.each()
            self.wfile.write(body[at : at + 50_000])

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, **files: Served) -> None:
        super().__init__(('127.0.0.1', 0), Handler)
        self.files = {f'/{name}': served for name, served in files.items()}
        self.asked: list[tuple[str, str | None]] = []
        self.heard: list[dict[str, str]] = []

    def url(self, path: str = '/model.pth') -> str:
        return f'http://127.0.0.1:{self.server_port}{path}'

    @property
    def ranges(self) -> list[str | None]:
        """The ranges that were asked for."""
        return [asked for _, asked in self.asked]

    def handle_error(self, *_: object) -> None:
        pass  # a client that was killed, or hung up


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        server.files['/model.pth'] = Served()
        thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.02))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def endless(handler: BaseHTTPRequestHandler) -> None:
    """A body in chunks that does not end."""
    handler.send_response(200)
    handler.send_header('Transfer-Encoding', 'chunked')
    handler.end_headers()
    while True:
        handler.wfile.write(b'%x\r\n%s\r\n' % (50_000, bytes(50_000)))


def forever(first: bytes, again: bytes, wait: float = 0.001) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer that begins in one way and then repeats the other."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(first)
        while True:
            handler.wfile.write(again)
            time.sleep(wait)

    return answer


def capped(handler: BaseHTTPRequestHandler, most: int) -> None:
    """No more than so many bytes of CONTENT at once."""
    first = int(re.search(r'\d+', handler.headers.get('Range', '0'))[0])
    piece = CONTENT[first : first + most]
    span = f'bytes {first}-{first + len(piece) - 1}/{len(CONTENT)}'
    headers = dict(ETag='"one"', Content_Range=span, Content_Length=str(len(piece)))
    plain(206, piece, **headers)(handler)


def in_chunks(handler: BaseHTTPRequestHandler, content: bytes = CONTENT, whole: bool = True) -> None:
    """A body in chunks, with its end or without."""
    handler.send_response(200)
    handler.send_header('Transfer-Encoding', 'chunked')
    handler.end_headers()
    for at in range(0, len(content), 50_000):
        piece = content[at : at + 50_000]
        handler.wfile.write(b'%x\r\n%s\r\n' % (len(piece), piece))
    if whole:
        handler.wfile.write(b'0\r\n\r\n')


def plain(status: int, content: bytes = b'', **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer with these headers and no others; ``_`` stands for ``-``."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace('_', '-'), value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def wait_for(truth: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < end
        time.sleep(0.01)
