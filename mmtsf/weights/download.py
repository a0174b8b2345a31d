"""A file from a web server, taken up again where a connection broke, if the server still has the same file."""

import base64
import errno
import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path

#: Times that a connection may break after it brought something
TRIES = 5
#: Seconds without a byte after which a connection counts as broken
TIMEOUT = 30
#: Bytes that must arrive in every so many seconds
SLOWEST = (60_000, 60)
#: The largest file that is taken
MAX_BYTES = 100_000_000_000

# build_opener would add handlers for ftp:, file: and data:, to which a server could then lead
_OPENER = urllib.request.OpenerDirector()
for _handler in (
    urllib.request.ProxyHandler(),
    urllib.request.UnknownHandler(),
    urllib.request.HTTPHandler(),
    urllib.request.HTTPSHandler(),
    urllib.request.HTTPDefaultErrorHandler(),
    urllib.request.HTTPRedirectHandler(),
    urllib.request.HTTPErrorProcessor(),
):
    _OPENER.add_handler(_handler)


def without_secrets(url: str) -> str:
    """An address for messages: no user, no password, no long value behind ``?``, which may be a key."""
    if '://' not in url:
        return url
    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition('@')
    query = re.sub(r'(?<==)[^&;]{8,}', '***', parts.query)
    return parts._replace(netloc=f'***@{host}' if at else host, query=query, fragment='').geturl()


def download(url: str, part: Path, checked: bool) -> bool:
    """Bring a file up to the whole of what lies at an address.

    Args:
        url (str): The address.
        part (Path): The file; it may hold what an earlier call left. What is known of it stays beside it, in a
            file that ends in ``.json``.
        checked (bool): Whether the caller compares a checksum afterwards, so that files may be taken up again whose
            server does not tell one version from another.

    Returns:
        bool: Whether bytes of an earlier connection are in it.

    Raises:
        OSError: If the server cannot be reached, has no such file, or the connection broke.
        http.client.HTTPException: If it does not speak HTTP.
        ValueError: If what it sends cannot be a file of weights.
    """
    for left in reversed(range(TRIES)):
        before = _size(part)
        try:
            return _transfer(url, part, checked) or left < TRIES - 1
        except (OSError, http.client.HTTPException):
            if not left or _size(part) == before:
                raise
    raise AssertionError('the last try returns or raises')


def _transfer(url: str, part: Path, checked: bool) -> bool:
    """Take one connection's share; whether what was there stays."""
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
        answer = _OPENER.open(_request(url, asked), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not there:  # 416: what is there reaches beyond the server's file
            raise
        part.unlink()
        return _transfer(url, part, checked)
    with answer:
        goes_on = answer.status == 206
        if goes_on and not (there and _continues(answer.headers, there, version)):
            if not there:
                raise OSError('the server sent a part of the file, though all of it was asked for')
            part.unlink()
            return _transfer(url, part, checked)
        _append(answer, part, there if goes_on else 0, checked)
    return goes_on


def _request(url: str, headers: dict[str, str]) -> urllib.request.Request:
    """A request for the bytes as they are, with what the address holds of user and password as its header."""
    parts = urllib.parse.urlsplit(urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]"))
    user, at, host = parts.netloc.rpartition('@')
    headers = {'Accept-Encoding': 'identity', 'User-Agent': 'mmtsf', **headers}
    request = urllib.request.Request(parts._replace(netloc=host, fragment='').geturl(), headers=headers)
    if at:
        key = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        request.add_unredirected_header('Authorization', f'Basic {key}')
    return request


def _continues(headers: Message, there: int, version: str | None) -> bool:
    """Whether an answer begins where ``there`` ends, and belongs to the same version of the file."""
    begins = re.match(rf'bytes {there}-\d+/', headers.get('Content-Range') or '')
    return begins is not None and (version is None or _version(headers) == version)


def _append(answer: http.client.HTTPResponse, part: Path, start: int, checked: bool) -> None:
    """Write an answer's body behind the first ``start`` bytes."""
    encoding = answer.headers.get('Content-Encoding', 'identity')
    if encoding.lower() != 'identity':
        raise ValueError(f'the server sent the file as {encoding}, expected it as it is')
    length = _length(answer, start)
    if length is None and not (checked or answer.chunked):
        raise ValueError('the server does not say how long the file is, so that a part cannot be told from the whole')
    if length is not None and not 0 < length <= MAX_BYTES:
        raise ValueError(f'the server announces {length:,} bytes, expected 1 to {MAX_BYTES:,}')
    if shutil.disk_usage(part.parent).free < (length or 0) - start:
        raise OSError(errno.ENOSPC, f'{os.strerror(errno.ENOSPC)} for {length:,} bytes')
    if not start:  # what is known of a file is written before the file is, so that it is never known of another
        part.unlink(missing_ok=True)
        state_of(part).write_text(json.dumps(dict(version=_version(answer.headers), length=length)))
    got = _copy(answer, part, start, MAX_BYTES if length is None else length)
    if length is not None and got < length:
        raise OSError(f'the connection broke after {got} of {length} bytes; try again to go on')


def _copy(answer: http.client.HTTPResponse, part: Path, start: int, limit: int) -> int:
    """Copy a body to the end of a file, not faster than it comes and not longer than ``limit``; bytes in the file."""
    got, (least, seconds) = start, SLOWEST
    seen, clock = got, time.monotonic()
    with part.open('ab' if start else 'wb') as file:
        while chunk := answer.read1(1 << 20):
            got += len(chunk)
            if got > limit:
                raise ValueError(f'the server sends more than {limit:,} bytes')
            file.write(chunk)
            if time.monotonic() - clock > seconds:
                if got - seen < least:
                    raise TimeoutError(f'less than {least:,} bytes came in {seconds} seconds')
                seen, clock = got, time.monotonic()
    return got


def _length(answer: http.client.HTTPResponse, start: int) -> int | None:
    """Length of the whole file, if the server says it."""
    total = re.search(r'/(\d+)$', answer.headers.get('Content-Range') or '')
    if start and total:
        return int(total[1])
    return None if answer.length is None else start + answer.length


def _version(headers: Message) -> str | None:
    """What names one version of a file byte for byte: a strong ETag, or a date that no later change can bear."""
    etag, modified = headers.get('ETag'), headers.get('Last-Modified')
    if etag and not etag.startswith('W/'):
        return etag
    try:
        age = parsedate_to_datetime(headers.get('Date') or '') - parsedate_to_datetime(modified or '')
    except (TypeError, ValueError):  # no date
        return None
    return modified if age.total_seconds() >= 1 else None


def _known(part: Path) -> dict:
    """Version and length of the file that a part is of, as far as its server told."""
    try:
        known = json.loads(state_of(part).read_text())
        return dict(version=known['version'], length=known['length'])
    except (OSError, ValueError, LookupError, TypeError):  # none, or cut off
        return dict(version=None, length=None)


def state_of(part: Path) -> Path:
    """The file that says of what version and length the whole of a part is."""
    return part.with_name(f'{part.name}.json')


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
