"""Download a file, and resume after a broken connection if the server still has the same file."""

import base64
import errno
import http.client
import json
import os
import re
import shutil
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from contextlib import suppress
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from mmtsf.utils.text import without_secrets

#: Times that a connection may break which brought less than ``SLOWEST``
TRIES = 5
#: Seconds without a byte after which a connection counts as broken
TIMEOUT = 30
#: Bytes of the file that must arrive in every so many seconds
SLOWEST = (60_000, 60)
#: The largest file that is taken, and the largest if the server does not say how long it is
MAX_BYTES, MAX_UNTOLD = 100_000_000_000, 10_000_000_000
#: Bytes of the disk that stay free
RESERVE = 500_000_000


def split(url: str) -> urllib.parse.SplitResult:
    """Split an address of a web server into its parts.

    Raises:
        ValueError: If it is none.
    """
    with suppress(ValueError):  # brackets without an end, a port that is no number
        parts = urllib.parse.urlsplit(url)
        if parts.scheme in ('http', 'https') and parts.hostname and parts.port != 0:
            return parts
    raise ValueError(
        f'{without_secrets(url)} is no address of a web server, expected http(s)://HOST[:PORT]/PATH; write / ? # @ in '
        'a password as %2F %3F %23 %40'
    ) from None


class Connections(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Open a download's connections, and close them when the file's bytes come too slowly.

    A socket's timeout begins anew with each byte, and headers, ``100 Continue`` and trailers are read until they end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.opener = urllib.request.build_opener(self, _Redirects())
        self.got, self.late = 0, False
        self.socket = socket.socket()  # the last one's, until there is one a dummy
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, args=SLOWEST, daemon=True)

    def do_open(self, http_class: Any, req: urllib.request.Request, **options: Any) -> Any:
        def watched(host: str, **words: Any) -> http.client.HTTPConnection:
            connection = http_class(host, **words)
            connection._create_connection = self._connect  # below proxies and TLS, whose handshakes may not end either
            return connection

        return super().do_open(watched, req, **options)  # type: ignore[arg-type]

    def _connect(self, *words: Any, **options: Any) -> socket.socket:
        connection = socket.create_connection(*words, **options)
        self.socket.close()
        self.socket = connection.dup()  # TLS takes the other for itself
        if self.late:
            raise TimeoutError
        return connection

    def _watch(self, least: int, seconds: float) -> None:
        seen = 0
        while not self.ended.wait(seconds):
            if self.got - seen < least:
                self.late = True
                with suppress(OSError):  # it is closed already
                    self.socket.shutdown(socket.SHUT_RDWR)
                return
            seen = self.got

    def __enter__(self) -> 'Connections':
        self.thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.ended.set()
        self.thread.join()
        self.socket.close()
        if self.late and not isinstance(error, KeyboardInterrupt):
            raise TimeoutError('less than {:,} bytes of the file came in {} seconds'.format(*SLOWEST)) from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to web servers, never from https to http, without reading the redirecting page."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        fp.close()  # it would be read to its end, which may not come
        new = split(newurl)
        if '@' in new.netloc or (req.full_url.startswith('https:') and new.scheme != 'https'):
            raise OSError(f'a redirect to {without_secrets(newurl)} is not followed')
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(url: str, part: Path, checked: bool) -> bool:
    """Download an address to a file, or complete a partial one.

    Args:
        url (str): The address.
        part (Path): The file; it may hold what an earlier call left. What is known of it stays beside it, in a
            file that ends in ``.json``.
        checked (bool): Whether the caller compares a checksum afterwards, so that files may be taken up again whose
            server does not tell one version from another.

    Returns:
        bool: Whether bytes of several connections may be in it.

    Raises:
        OSError: If the server cannot be reached, has no such file, or the connection broke.
        http.client.HTTPException: If it does not speak HTTP.
        ValueError: If what it sends cannot be a file of weights.
    """
    tries = TRIES
    best = before = _size(part)
    spliced = before > 0
    with Connections() as connections:
        while True:
            try:
                if _transfer(connections, url, part, checked):
                    return spliced
            except (OSError, http.client.HTTPException) as error:
                if full := isinstance(error, OSError) and error.errno == errno.ENOSPC:
                    part.unlink(missing_ok=True)
                tries -= _size(part) < best + SLOWEST[0]
                if full or connections.late or not tries or _size(part) == before:
                    raise
            spliced, before = True, _size(part)
            best = max(best, before)


def _transfer(connections: Connections, url: str, part: Path, checked: bool) -> bool:
    """Read from one connection, and return whether the file is complete."""
    there, known = _size(part), _known(part)
    if there and there == known['length']:
        return True
    version = known['version']
    if not (version or checked):
        there = 0
    asked = {'Range': f'bytes={there}-'} if there else {}
    if there and version:
        asked['If-Range'] = version
    try:
        answer = connections.opener.open(_request(url, asked), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not there:  # 416: what is there reaches beyond the server's file
            raise
        part.unlink()
        return _transfer(connections, url, part, checked)
    with answer:
        goes_on = answer.status == 206
        if goes_on and not (there and _continues(answer.headers, there, version)):
            if not there:
                raise OSError('the server sent a part of the file, though all of it was asked for')
            part.unlink()
            return _transfer(connections, url, part, checked)
        return _append(connections, answer, part, there if goes_on else 0, checked)


def _request(url: str, headers: dict[str, str]) -> urllib.request.Request:
    """Make a request without compression, with the address' user and password as a header."""
    parts = split(urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]"))
    user, at, host = parts.netloc.rpartition('@')
    headers = {'Accept-Encoding': 'identity', 'User-Agent': 'mmtsf', **headers}
    request = urllib.request.Request(parts._replace(netloc=host, fragment='').geturl(), headers=headers)
    if at:
        key = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        request.add_unredirected_header('Authorization', f'Basic {key}')
    return request


def _continues(headers: Message, there: int, version: str | None) -> bool:
    """Return whether a response continues the partial file, in the same version."""
    begins = re.match(rf'bytes {there}-\d+/', headers.get('Content-Range') or '')
    return begins is not None and (version is None or _version(headers) == version)


def _append(connections: Connections, answer: http.client.HTTPResponse, part: Path, start: int, checked: bool) -> bool:
    """Write a response's body after the first ``start`` bytes, and return whether the file is complete."""
    encoding = answer.headers.get('Content-Encoding', 'identity')
    if encoding.lower() != 'identity':
        raise ValueError(f'the server sent the file as {encoding}, expected it as it is')
    length = _length(answer, start)
    if length is None and not (checked or answer.chunked):
        raise ValueError('the server does not say how long the file is, so that a part cannot be told from the whole')
    if length is not None and not 0 < length <= MAX_BYTES:
        raise ValueError(f'the server announces {length:,} bytes, expected 1 to {MAX_BYTES:,}')
    check_disk(part.parent, 0 if length is None else length - start)
    if not start:  # what is known of a file is written before the file is, so that it is never known of another
        part.unlink(missing_ok=True)
        state_of(part).write_text(json.dumps(dict(version=_version(answer.headers), length=length)))
    got = _copy(connections, answer, part, start, MAX_UNTOLD if length is None else length)
    if length is not None and got < length and (answer.length or got == start):  # else the server caps what it sends
        raise OSError(f'the connection broke after {got} of {length} bytes; try again to go on')
    return length is None or got == length


def check_disk(folder: Path, size: int) -> None:
    """Raise if ``size`` more bytes would take the disk's free reserve."""
    if shutil.disk_usage(folder).free < size + RESERVE:
        raise OSError(errno.ENOSPC, f'{os.strerror(errno.ENOSPC)} for {size:,} bytes beside {RESERVE:,} that stay free')


def _copy(connections: Connections, answer: http.client.HTTPResponse, part: Path, start: int, limit: int) -> int:
    """Append a response's body to a file, at most ``limit`` bytes, and return the file's size."""
    got = start
    with part.open('ab' if start else 'wb') as file:
        while chunk := answer.read1(1 << 20):
            got += len(chunk)
            connections.got += len(chunk)
            if got > limit:
                raise ValueError(f'the server sends more than {limit:,} bytes')
            check_disk(part.parent, len(chunk))
            file.write(chunk)
    return got


def _length(answer: http.client.HTTPResponse, start: int) -> int | None:
    """Return the length of the whole file, if the server tells it."""
    total = re.search(r'/(\d+)$', answer.headers.get('Content-Range') or '')
    if start and total:
        return int(total[1])
    return None if answer.length is None else start + answer.length


def _version(headers: Message) -> str | None:
    """Return what identifies a version of the file: a strong ETag, or a modification date that is old enough."""
    etag, modified = headers.get('ETag'), headers.get('Last-Modified')
    if etag and not etag.startswith('W/'):
        return etag
    try:
        age = parsedate_to_datetime(headers.get('Date') or '') - parsedate_to_datetime(modified or '')
    except (TypeError, ValueError):  # no date
        return None
    return modified if age.total_seconds() >= 1 else None


def _known(part: Path) -> dict:
    """Read the version and length of a partial file, as far as its server told them."""
    try:
        known = json.loads(state_of(part).read_text())
        return dict(version=known['version'], length=known['length'])
    except (OSError, ValueError, LookupError, TypeError):  # none, or cut off
        return dict(version=None, length=None)


def state_of(part: Path) -> Path:
    """Return the path that stores version and length of a partial file."""
    return part.with_name(f'{part.name}.json')


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
