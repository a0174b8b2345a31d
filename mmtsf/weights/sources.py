"""Where a checkpoint lies: a path, a URL, or the name of published weights."""

import hashlib
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import torch
import yaml

MODEL_INDEX = Path(__file__).parents[1] / 'model-index.yml'


def local_path(source: str) -> Path:
    """Path of a checkpoint on this machine; fetched to the cache if it is a URL or a published name.

    Args:
        source (str): A path, a URL, or a name of ``model-index.yml``.

    Raises:
        FileNotFoundError: If there is none, or it could not be fetched.
        ValueError: If a fetched file is not the one that was published.
    """
    if source.startswith(('http://', 'https://')):
        return fetch(source)
    path = Path(source).expanduser()
    if path.exists():
        return path
    models = yaml.safe_load(MODEL_INDEX.read_text())['Models']
    published = {model['Name']: model for model in models if 'Weights' in model}
    if source in published:
        return fetch(published[source]['Weights'], published[source].get('SHA256'))
    if path.suffix or len(path.parts) > 1:
        raise FileNotFoundError(f'the checkpoint {path} does not exist')
    raise FileNotFoundError(
        f'the checkpoint {path} does not exist, and there are no published weights of that name; known are '
        f'{", ".join(published)}'
    )


def fetch(url: str, sha256: str | None = None) -> Path:
    """Download a file to PyTorch's cache, or take it from there; a download that broke off goes on where it stopped.

    Args:
        url (str): Where it lies.
        sha256 (str, optional): How its checksum begins. Defaults to None: not known.

    Raises:
        FileNotFoundError: If it cannot be fetched.
        ValueError: If the checksum is another one.
    """
    name = Path(urllib.parse.urlsplit(url).path).name
    target = Path(torch.hub.get_dir(), 'checkpoints', name)
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f'{name}.part')
    try:
        _download(url, part)
    except OSError as error:
        raise FileNotFoundError(
            f'cannot fetch {url} ({error}); fetch it on another machine and put it at {target}'
        ) from error
    if sha256 is not None and not (found := checksum(part)).startswith(sha256):
        part.unlink()
        raise ValueError(f'{url} has the sha256 {found}, expected {sha256}; it is not the file that was published')
    os.replace(part, target)
    return target


def checksum(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _download(url: str, part: Path) -> None:
    """Append to ``part`` what it lacks of ``url``."""
    there = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={'Range': f'bytes={there}-'} if there else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            goes_on = answer.status == 206
            expected = int(answer.headers.get('Content-Length') or 0)
            with part.open('ab' if goes_on else 'wb') as file:
                shutil.copyfileobj(answer, file)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not there:  # 416: there is nothing after what is there
            raise
        return
    got = part.stat().st_size - (there if goes_on else 0)
    if got < expected:
        raise OSError(f'the connection broke after {got} of {expected} bytes; try again to go on')
