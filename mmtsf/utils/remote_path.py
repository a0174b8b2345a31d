"""Give addresses in object storage and on the web the interface of paths, through fsspec."""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import IO, Any, NamedTuple
from urllib.parse import quote, unquote

from upath import UPath
from upath.extensions import ProxyUPath

from .locations import OF_WEB, Facts, check_chain, scheme_of
from .read_text import open_text
from .remote_calls import CONNECT_TIMEOUT, READ_TIMEOUT, NoRangesError, UnreachableError, attempt, clear, few_attempts
from .text import shorten, without_secrets

#: Bytes of a page of links
MOST_OF_A_PAGE = 2**26
#: What an address of a protocol begins with
HOLDERS = {
    **dict.fromkeys(('s3', 's3a', 'gs', 'gcs'), 'bucket'),
    **dict.fromkeys(('az', 'abfs', 'abfss'), 'container'),
    **dict.fromkeys(OF_WEB, 'host'),
    'hf': 'owner',
}


def _options(scheme: str) -> dict[str, Any]:
    """What a file system is told: not to try again by itself, and when a server is gone. Credentials are never among
    it: the libraries find them in the environment."""
    if scheme in OF_WEB:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=READ_TIMEOUT)
        identity = {'Accept-Encoding': 'identity'}  # ranges are of the file, not of what it is packed into
        return dict(client_kwargs=dict(timeout=timeout, headers=identity, response_class=_bounded_answer()))
    if scheme in ('s3', 's3a'):
        timeouts = dict(connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT)
        return dict(config_kwargs=dict(timeouts, retries=dict(total_max_attempts=1)), use_listings_cache=False)
    return dict(use_listings_cache=False)


@cache
def _bounded_answer() -> type:
    """An answer of aiohttp's that is no longer than what was asked for, whatever the server sends."""
    import aiohttp

    class Bounded(aiohttp.ClientResponse):
        async def read(self) -> bytes:
            asked = re.fullmatch(r'bytes=(\d+)-(\d+)', self.request_info.headers.get('Range', ''))
            if asked and self.status == 200 and (int(asked[1]) or (self.content_length or 0) > int(asked[2]) + 1):
                raise NoRangesError('the server gives no ranges of files')
            most = int(asked[2]) - int(asked[1]) + 1 if asked and self.status < 400 else MOST_OF_A_PAGE
            if (self.content_length or 0) > most:
                raise OSError(f'the server sends {self.content_length} bytes, and {most} were expected')
            if not asked and self.content_length is not None:
                return await super().read()
            pieces, count = [], 0
            async for piece in self.content.iter_chunked(2**16):
                pieces.append(piece)
                count += len(piece)
                if count > most:
                    self.close()
                    raise OSError(f'the server sends more than the {most} bytes that were expected')
            return b''.join(pieces)

    return Bounded


class RemotePath(ProxyUPath):
    """A path in object storage or on the web: a :class:`upath.UPath` whose calls are made by :func:`attempt`.

    It has the interface of :class:`pathlib.Path`, but is none. It may be sent to other processes. Where a key is a
    file, and others begin with it and a slash, a slash at the end tells that the folder is meant.
    """

    ends_in_slash = False  # as its user wrote it

    @classmethod
    def of(cls, text: str) -> RemotePath:
        """Make one of an address.

        Raises:
            ValueError: If there is no such protocol, or its package is missing, or it names no bucket, or it holds
                ``::`` and is no wrapper.
        """
        check_chain(text)
        scheme = scheme_of(text) or ''
        if scheme in HOLDERS and not re.match('://[^/]', text[len(scheme) :]):
            raise ValueError(f'{text} names no {HOLDERS[scheme]}; expected {scheme}://{HOLDERS[scheme].upper()}/NAME')
        text = scheme + text[len(scheme) :]
        try:
            path = cls(text, **_options(scheme))
            path.ends_in_slash = text.endswith('/')
            return path
        except ImportError as error:
            raise clear(error, text) from error
        except ValueError as error:
            raise ValueError(
                f'{without_secrets(text)}: {scheme}:// is no protocol that is known; expected one of s3, gs, az, http, '
                f'https, hf, or another one of fsspec ({error})'
            ) from None

    def __reduce__(self) -> tuple:
        return RemotePath.of, (f'{str(self).rstrip("/")}/' if self.ends_in_slash else str(self),)

    def __fspath__(self) -> str:
        raise TypeError(f'{self} is an address, and no name of a local file')

    @property
    def fs(self) -> Any:
        """The file system, of this process."""
        system = attempt(self, lambda: _of_this_process(self).fs)
        if hasattr(system, 'retries'):
            system.retries = 1  # s3fs's own, within each of ours
        return system

    @property
    def name(self) -> str:
        """The last part, without what it is quoted by on the web."""
        return unquote(super().name) if _is_web(self) else super().name

    def __truediv__(self, other: str | RemotePath) -> RemotePath:
        """Return the path of what a folder holds; a name on the web is written with its ``%``, ``?`` and ``#``."""
        if '::' in str(other):
            raise ValueError(f"{str(other)!r} holds '::', by which one address wraps another; rename the file")
        return super().__truediv__(quote(str(other)) if _is_web(self) else other)

    def look_up(self) -> dict[str, Any] | None:
        """Return what the server tells of it, at least ``type`` and ``size``; None if it is not there.

        Raises:
            OSError: If that cannot be told.
        """
        try:
            found = attempt(self, self.fs.info, self.path)
        except FileNotFoundError:
            return None
        if self.ends_in_slash and found['type'] == 'file' and not _is_web(self) and any(self.entries()):
            return dict(found, type='directory', size=0)
        return found

    def version(self) -> str:
        """Return what the server tells of a file that changes when it does: ETag or the like, and the size; ``'0'`` if
        it is not there."""
        return self.facts().state

    def facts(self) -> Facts:
        """Return what the server tells of a file.

        Raises:
            OSError: If that cannot be told.
        """
        found = self.look_up()
        return Facts() if found is None else _facts(found)

    def facts_below(self) -> dict[str, Facts]:
        """Return what one listing tells of all files below a folder, by their names in it."""
        return {name: _facts(found) for name, found in self.keys_below().items()}

    def keys_below(self, **more: Any) -> dict[str, dict[str, Any]]:
        """Return what a server tells of all keys below a folder, by what they are called in it, which may be any text;
        takes more arguments of fsspec's ``find``.

        Raises:
            OSError: If it cannot be listed.
        """
        folder = self.path.rstrip('/') + '/'
        found = attempt(self, self.fs.find, self.path, detail=True, **more)
        return {key.removeprefix(folder): told for key, told in found.items() if key.startswith(folder)}

    def is_reachable(self) -> bool:
        """Return whether its server answers, whatever it says."""
        try:
            with few_attempts(1):
                self.look_up()
        except UnreachableError:
            return False
        except Exception:  # whatever it says, also that it does not tell
            return True
        return True

    def resolve(self, strict: bool = False) -> RemotePath:
        """Return it without ``.`` and ``..``; on the web as it is: no server is asked for what a name leads to."""
        return self if _is_web(self) else super().resolve(strict)

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is there; an error where that cannot be told."""
        return self.look_up() is not None

    def is_dir(self) -> bool:
        """Return whether it is a folder: keys begin with it, or on the web it ends in a slash or is a page."""
        return self._kind() == 'directory'

    def is_file(self) -> bool:
        """Return whether it is a file."""
        return self._kind() == 'file'

    def _kind(self) -> str | None:
        found = self.look_up()
        if found is None or not _is_web(self):
            return found['type'] if found else None
        is_page = found.get('mimetype') == 'text/html' and not self.suffix
        return 'directory' if is_page or str(self).endswith('/') else 'file'

    def open(self, mode: str = 'r', buffering: int = -1, *text: Any, **more: Any) -> IO[Any]:  # type: ignore[override]
        """Open it; in reading its bytes are fetched by ranges, see :class:`.RemoteFile`. A text is no larger than
        :data:`.MOST_OF_A_TEXT`."""
        if set(mode) - {'r', 'b', 't'}:
            return attempt(self, _of_this_process(self).open, mode, buffering, *text, **more)
        from .remote_file import RemoteFile

        return RemoteFile(self).open() if 'b' in mode else io.TextIOWrapper(open_text(self), *text, **more)

    def read_bytes(self) -> bytes:
        """Return what the file holds."""
        with self.open('rb') as file:
            return file.read()

    def read_text(self, encoding: str | None = None, errors: str | None = None, newline: str | None = None) -> str:
        """Return the text that the file holds."""
        with self.open('r', -1, encoding or 'utf-8', errors, newline) as file:
            return file.read()

    def below(self) -> Iterator[str]:
        """Yield the names of all files below a folder, relative to it; markers of folders are none."""
        shown = unquote if _is_web(self) else str
        yield from self.inner(shown(key) for key in self.keys_below() if key[-1:] not in ('', '/'))

    def inner(self, names: Iterable[str]) -> Iterator[str]:
        """Yield the names that a path can have in this folder; the others, which keys may have, are told in a
        warning."""
        odd = []
        for name in names:
            if _is_inner(name):
                yield name
            else:
                odd.append(repr(name))
        if odd:
            reason = "nothing, '.', '..' and what holds '::' are no names of files and folders; give those keys others"
            warnings.warn(f'left out of {self}: {shorten(odd)}, as {reason}', stacklevel=2)

    def entries(self) -> Iterator[RemoteEntry]:
        """Yield what a folder holds, by one listing.

        Raises:
            FileNotFoundError: If it is not there.
        """
        found: dict[str, list[RemoteEntry]] = {}
        for entry in self._listed():
            found.setdefault(entry.name, []).append(entry)  # a file and a folder may have the same name
        for name in self.inner(found):
            yield from found[name]

    def holds_odd_keys(self) -> bool:
        """Return whether keys begin with this folder that no path can stand for."""
        return not all(_is_inner(entry.name) for entry in self._listed())

    def _listed(self) -> Iterator[RemoteEntry]:
        """What a folder holds, also what no path can stand for."""
        is_web, folder = _is_web(self), self.path.rstrip('/')
        for found in attempt(self, self.fs.ls, self.path, detail=True):
            path, is_folder = found['name'].rstrip('/'), found['type'] == 'directory'
            outer, _, last = path.rpartition('/')
            if is_web and (not last or set(last) & set('?#') or outer != folder):  # a page that links elsewhere
                continue
            if path == folder and not is_folder:  # its marker
                continue
            name = unquote(last) if is_web else '' if path == folder else last
            name = '' if '/' in name else name
            yield RemoteEntry(name, f'{str(self).rstrip("/")}/{last}', is_folder, found['size'])


def _is_inner(name: str) -> bool:
    """Whether a path can stand for the rest of a key, which may be any text."""
    return '::' not in name and not {'', '.', '..'} & set(name.split('/'))


class RemoteEntry(NamedTuple):
    """What a folder at an address holds, with the interface of :class:`os.DirEntry`.

    Attributes:
        name (str): Its name.
        path (str): Its address.
        of_folder (bool): Whether it is a folder.
        size (int | None): Its bytes, if the server tells them.
    """

    name: str
    path: str
    of_folder: bool
    size: int | None = None

    def is_dir(self) -> bool:
        """Return whether it is a folder."""
        return self.of_folder

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a file."""
        return not self.of_folder


def _facts(found: dict[str, Any]) -> Facts:
    """What a server tells, in the words of the libraries."""
    versions = (found.get(key) for key in ('ETag', 'etag', 'md5Hash', 'content_md5', 'blob_id'))
    times = [found.get(key) for key in ('Last-Modified', 'LastModified', 'last_modified', 'mtime', 'updated')]
    told = next((str(value) for value in (*versions, *times) if value), '').strip('"')
    all_times = (_seconds(value) for value in (*times, found.get('created')))
    time = next((seconds for seconds in all_times if seconds is not None), None)
    return Facts(f'{"".join(told.split())}-{found.get("size")}', found.get('size') or 0, time)


def _seconds(value: Any) -> float | None:
    """A time as servers write it, in seconds; None if it is none."""
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        with suppress(ValueError, TypeError):
            value = parse(value.replace('Z', '+00:00')) if isinstance(value, str) else value
    return value.timestamp() if isinstance(value, datetime) else float(value) if type(value) in (int, float) else None


def _is_web(path: RemotePath) -> bool:
    return path.protocol in OF_WEB


def _of_this_process(path: RemotePath) -> UPath:
    """The path with a file system of this process: none outlives a fork."""
    if os.getpid() != _PROCESS:
        path.__wrapped__ = UPath(str(path.__wrapped__), **path.__wrapped__.storage_options)
    return path.__wrapped__


#: In which this module was imported
_PROCESS = os.getpid()


def _tried(name: str) -> Callable:
    """A method of a path that is tried again; what it would yield one after the other is a list."""

    def call(self: RemotePath, *args: Any, **more: Any) -> Any:
        self.fs  # noqa: B018, of this process

        def run() -> Any:
            found = getattr(super(RemotePath, self), name)(*args, **more)
            return list(found) if isinstance(found, Iterator) else found

        found = attempt(self, run)
        return iter(found) if isinstance(found, list) else found

    call.__name__, call.__doc__ = name, f'``UPath.{name}``, tried again if it fails for a reason that may pass.'
    return call


for _name in (
    *('glob', 'iterdir', 'mkdir', 'rename', 'replace', 'rglob', 'rmdir', 'stat', 'touch', 'unlink', 'walk'),
    *('write_bytes', 'write_text'),
):
    setattr(RemotePath, _name, _tried(_name))
