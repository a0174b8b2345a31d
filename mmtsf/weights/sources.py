"""Find a checkpoint by path, URL or published name, and download it to the cache."""

import errno
import hashlib
import http.client
import re
import ssl
import urllib.parse
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open

from mmtsf.utils.files import checksum, commit
from mmtsf.utils.locations import scheme_of
from mmtsf.utils.screen import say
from mmtsf.utils.sources import STORES, Address, find_checkpoint, published
from mmtsf.utils.text import cleaned, without_secrets

from .download import download, split, state_of

#: Bytes of the header of a safetensors file
MOST_HEADER = 8 * 2**20
#: Errors that are the cache's, not the network's
OF_THE_DISK = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.ENOTDIR, errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
    *(errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS),  # of locks
}


def local_path(source: str) -> Path:
    """Return the local path of a checkpoint, downloaded to the cache if it is a URL or a published name.

    Args:
        source (str): A path, a URL, or a name of ``model-index.yml``.

    Raises:
        FileNotFoundError: If there is none, or it could not be fetched.
        OSError: If the cache cannot be written.
        ValueError: If a fetched file is not the one that was published, or cannot be one.
    """
    found = find_checkpoint(source)
    if not isinstance(found, Address):
        return found
    if scheme_of(found.url) in STORES:
        from .stored import fetch_stored  # which needs this module

        return fetch_stored(found.url)
    return fetch(*found)


def cached(url: str) -> Path:
    """Return the path of an address' file in the cache: one folder for each address, and the file's own name."""
    name = urllib.parse.unquote(Path(split(url).path).name).partition(';')[0]  # behind it may be a key
    return cache_of(urllib.parse.urldefrag(url).url) / safe_name(name)


def cache_of(url: str) -> Path:
    """Return the folder in the cache of an address."""
    return Path(torch.hub.get_dir(), 'checkpoints/mmtsf', hashlib.sha256(url.encode()).hexdigest()[:32])


def safe_name(name: str) -> str:
    """Return a name of a file without what may mean something else there."""
    return re.sub(r'[^\w.-]', '_', name, flags=re.ASCII)[-100:].lstrip('.') or 'weights'


def found_in_cache() -> dict[str, Path]:
    """Return the published weights that the cache holds whole, by their names."""
    files = {name: (cached(address.url), address.sha256) for name, address in published().items()}
    return {name: path for name, (path, sha256) in files.items() if _is_whole(path, sha256)}


def fetch(url: str, sha256: str | None = None, page: str | None = None) -> Path:
    """Download a file to the cache, or take it from there; one of several processes downloads, the others wait.

    Args:
        url (str): Where it lies.
        sha256 (str, optional): How its checksum begins. Defaults to None: as its name says, if it ends like those of
            PyTorch, ``-0123abcd.pth``.
        page (str, optional): Page whose terms are to be accepted before it can be fetched. Defaults to None.

    Raises:
        FileNotFoundError: If it cannot be fetched.
        OSError: If the cache cannot be written.
        ValueError: If the checksum is another one, or what comes cannot be a file of weights.
    """
    target, name = cached(url), Path(split(url).path).name
    sha256 = sha256 or _checksum_in(name)
    if _is_whole(target, sha256):
        return target
    usual = Path(torch.hub.get_dir(), 'checkpoints', name)
    if sha256 is not None and _is_whole(usual, sha256):
        return usual
    shown = without_secrets(url)
    try:
        with alone(target, shown):
            if not _is_whole(target, sha256):
                say(f'fetching {shown} to {target}')
                _fill(url, target, sha256)
    except (OSError, http.client.HTTPException) as error:
        damaged = f'; {target} is there, but damaged' if target.is_file() else ''
        if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno in OF_THE_DISK:
            raise of_the_cache(error, shown, target.parent, damaged) from None
        how = f'accept its terms at {page}, fetch it there' if page else 'fetch it on another machine'
        raise FileNotFoundError(
            f'cannot fetch {shown} ({cleaned(error)}){damaged}; {how} and put it at {target}'
        ) from None
    return target


def of_the_cache(error: OSError, shown: str, folder: Path, damaged: str = '') -> OSError:
    """Return what is said where the cache is at fault."""
    return OSError(
        f'{shown} cannot be kept in {folder}: {error.strerror}{damaged}; make room there, let TORCH_HOME name a folder '
        'that can be written, or fetch the file and give its path'
    )


def is_web_page(start: bytes) -> bool:
    """Return whether a file's first bytes are HTML."""
    return start.lstrip().lower().startswith((b'<!doctype', b'<html'))


def check_format(path: Path) -> None:
    """Check the file format by its first bytes, and its completeness as far as the format tells.

    Raises:
        ValueError: If it does not, or is not.
    """
    with path.open('rb') as file:
        start = file.read(64)
    if is_web_page(start):
        raise ValueError('the server sent a web page, as many do in the place of an error')
    if start[8:9] == b'{' and int.from_bytes(start[:8], 'little') <= MOST_HEADER:
        try:
            with safe_open(path, 'numpy'):
                return
        except SafetensorError:
            raise ValueError('the server sent a safetensors file that is damaged or cut off') from None
    if start.startswith(b'PK'):
        if not zipfile.is_zipfile(path):
            raise ValueError('the server sent an archive that is damaged or cut off')
    elif not start.startswith(b'\x80'):  # as pickles do
        raise ValueError(f'the server sent what begins with {start[:30]!r}, expected a .pth, .safetensors or .npz file')


def _checksum_in(name: str) -> str | None:
    """Return the checksum prefix at the end of a file's name, as in PyTorch's; digits alone are a date."""
    found = re.search(r'-([0-9a-f]{8,64})\.\w+$', name)
    return found[1] if found and not found[1].isdigit() else None


def _is_whole(path: Path, sha256: str | None) -> bool:
    """Return whether a file exists and has the known and the recorded checksum."""
    if not path.is_file():
        return False
    record = _record(path)
    expected = [sha256] if sha256 else []
    expected += record.read_text(errors='replace').split()[:1] if record.is_file() else []
    found = checksum(path) if expected else ''
    return all(found.startswith(beginning) for beginning in expected)


def _record(path: Path) -> Path:
    """Return the path of the file that holds a downloaded file's checksum."""
    return path.with_name(f'{path.name}.sha256')


@contextmanager
def alone(target: Path, shown: str) -> Iterator[None]:
    """Lock a cache entry for one process; the lock ends with the process."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(target.parent / '.lock')  # no file's name begins so
    try:
        lock.acquire(blocking=False)
    except Timeout:
        say(f'waiting for another process, which fetches {shown}')
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fill(url: str, target: Path, sha256: str | None) -> None:
    """Download to a temporary file, compare its checksum, and rename it."""
    part, shown, expected = target.with_name(f'{target.name}.part'), without_secrets(url), sha256 or ''
    try:
        if download(url, part, bool(sha256)) and not checksum(part).startswith(expected):
            part.unlink()  # it was taken up again, of two versions
            download(url, part, bool(sha256))
        check_format(part)
    except ValueError as error:
        part.unlink(missing_ok=True)
        raise ValueError(f'{shown} is not taken: {cleaned(error)}; fetch it by other means and give its path') from None
    if not (found := checksum(part)).startswith(expected):
        part.unlink()
        raise ValueError(
            f'{shown} has the sha256 {found}, expected {sha256}; it is not the file that was published. If it is the '
            'one you want, fetch it by other means and give its path'
        )
    _record(target).write_text(f'{found}  {target.name}\n')
    commit(part, target)
    state_of(part).unlink(missing_ok=True)
