"""Tell addresses in object storage and on the web from names of local files, without slow imports."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import unquote

if TYPE_CHECKING:
    from .remote_path import RemoteEntry, RemotePath

T = TypeVar('T')
#: Answers of servers that are waited for at a time
AT_A_TIME = 32
#: Files of which a folder's listing tells sooner than a request each
LISTED = 100
#: How an address begins; a letter before a colon is a drive of Windows
SCHEME = re.compile(r'([a-z][a-z0-9+.-]+)(://|::)', re.IGNORECASE)
#: The local disk in fsspec's words
LOCAL = ('file', 'local')
#: Streams, which end when their sender ends them; FFmpeg opens them, not fsspec
STREAMS = (
    *('gopher', 'icecast', 'mmsh', 'mmst', 'rist', 'rtmp', 'rtmpe', 'rtmps', 'rtmpt', 'rtp', 'rtsp', 'rtsps', 'sctp'),
    *('srt', 'srtp', 'tcp', 'tls', 'udp', 'udplite'),
)
#: Protocols that a list's rows may name where they may lead out of its folder
OF_ROWS = ('s3', 'gs', 'az', 'abfs', 'http', 'https', 'hf')
OF_WEB = ('http', 'https')
#: fsspec's wrappers of other addresses, as ``simplecache::s3://bucket/a.mp4``, which a user may type, and no list
WRAPPERS = ('blockcache', 'cached', 'dir', 'filecache', 'libarchive', 'simplecache', 'tar', 'zip')


def scheme_of(text: str) -> str | None:
    """Return the protocol that a text begins with, in small letters; None if it begins with none."""
    found = SCHEME.match(text)
    if not found or '://' not in text or (found[2] == '::' and found[1].lower() not in WRAPPERS):
        return None  # mmtsf::NAME.py is a shipped config
    return found[1].lower()


def is_address(text: object) -> bool:
    """Return whether a text names something that fsspec opens elsewhere than on the local disk: ``s3://bucket/a.mp4``.

    Streams (``rtsp://``) are none, nor is the name of a local file that is there.
    """
    if isinstance(text, Path) or scheme_of(str(text)) in (None, *LOCAL, *STREAMS):
        return False
    return not isinstance(text, str) or not _is_name(text)


def _is_name(text: str) -> bool:
    try:
        return os.path.lexists(text)
    except ValueError:  # with a NUL
        return False


def location(text: str | Path | RemotePath) -> Path | RemotePath:
    """Return the path that a user means: a ``Path``, or a ``RemotePath`` of an address, with the interface of a Path.

    Args:
        text (str | Path | RemotePath): A local name, ``file:///name``, or an address. One that wraps another one
            (:data:`WRAPPERS`) must come from the user, not from a list.

    Raises:
        ValueError: If there is no such protocol, or the address wraps another one in a way that is not known.
    """
    if isinstance(text, Path):
        return text
    scheme = scheme_of(str(text))
    if scheme in LOCAL:
        return Path(re.sub('^//localhost(?=/)', '', str(text).partition(':')[2]).removeprefix('//'))
    if not is_address(text):
        return Path(str(text))
    from .remote_path import RemotePath

    return text if isinstance(text, RemotePath) else RemotePath.of(str(text))


def within(folder: str | Path | RemotePath, name: str) -> Path | RemotePath:
    """Return the path of what is called so in a folder; an address, and the whole path of a local file, stand for
    themselves."""
    if is_address(name):
        return location(name)
    if is_address(folder):
        return Path(name) if os.path.isabs(name) else location(folder) / name if name else location(folder)
    return Path(folder, name)


def relative_to(folder: str | Path | RemotePath, path: str) -> str:
    """Return the name that an address has in a folder, as :func:`within` takes it; others as they are."""
    if not is_address(folder) or not path.startswith(f'{str(folder).rstrip("/")}/'):
        return path
    inner = path.removeprefix(f'{str(folder).rstrip("/")}/')
    return unquote(inner) if scheme_of(str(folder)) in OF_WEB else inner


class Facts(NamedTuple):
    """What is told of a file without reading it.

    Attributes:
        state (str): What changes when it does: the time of its last change, at an address its version; ``'0'`` where
            there is none.
        size (int): Number of its bytes, 0 where there is none.
        time (float | None): When it was changed last, in seconds; None if no server tells it.
    """

    state: str = '0'
    size: int = 0
    time: float | None = None


def facts_of(paths: Iterable[Any], root: Any = None) -> list[Facts | None]:
    """Return what is told of each file, of many below a folder at an address by one listing of it; None of one that
    cannot be asked about, e.g. for want of rights.

    Args:
        paths (Iterable[Path | RemotePath]): The files.
        root (Path | RemotePath, optional): The folder of most of them. Defaults to None: each is asked about.
    """
    paths = list(paths)
    listed: dict[str, Facts] = {}
    if root is not None and is_address(root) and scheme_of(str(root)) not in OF_WEB and len(paths) >= LISTED:
        with suppress(OSError):  # where it cannot be listed
            listed = {f'{str(root).rstrip("/")}/{name}': found for name, found in root.facts_below().items()}

    def facts(path: Any) -> Facts | None:
        try:
            return listed.get(str(path)) or fact_of(path)
        except (OSError, ValueError):
            return None

    return _for_each(facts, paths)


def fact_of(path: Any) -> Facts:
    """Return what is told of a file.

    Raises:
        OSError: If it cannot be asked about.
    """
    if is_address(path):
        return path.facts()
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return Facts()
    return Facts(str(found.st_mtime_ns), found.st_size, found.st_mtime)


def _for_each(call: Callable[[Any], T], paths: Iterable[Any]) -> list[T]:
    """Call for each path, at addresses for several at a time: an answer takes its time."""
    paths = list(paths)
    if not any(map(is_address, paths)):
        return list(map(call, paths))
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        return list(threads.map(call, paths))


def check_chain(text: str) -> None:
    """Refuse ``::`` in an address, by which fsspec would go on to another one, unless it begins with a wrapper.

    Raises:
        ValueError: If there is one.
    """
    if '::' in text and scheme_of(text) not in WRAPPERS:
        raise ValueError(
            f"{text!r} holds '::', by which one address wraps another; that is taken only from those that begin with "
            f'one of {", ".join(WRAPPERS)}; rename the file, or correct the address'
        )


def entries(folder: str | Path | RemotePath) -> Iterator[os.DirEntry | RemoteEntry]:
    """Yield what a folder holds: entries with ``name``, ``path``, ``is_dir()`` and ``is_file()``; nothing of what is no
    folder."""
    try:
        if is_address(folder):
            yield from _listing(str(folder))
            return
        with os.scandir(folder) as found:
            yield from found
    except (FileNotFoundError, NotADirectoryError):
        return


_listings: ContextVar[dict[str, list[RemoteEntry]] | None] = ContextVar('listings', default=None)


@contextmanager
def listings_kept() -> Iterator[None]:
    """Ask inside for what a folder at an address holds once, however often it is looked through."""
    before = _listings.set({} if _listings.get() is None else _listings.get())
    try:
        yield
    finally:
        _listings.reset(before)


def _listing(address: str) -> list[RemoteEntry]:
    kept: dict = {} if (found := _listings.get()) is None else found
    if address not in kept:
        kept[address] = list(location(address).entries())  # type: ignore[union-attr]
    return kept[address]
