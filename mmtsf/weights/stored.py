"""Fetch a checkpoint from object storage to the cache, once for each version of it."""

import hashlib
import re
import shutil
import urllib.parse
from pathlib import Path

from mmtsf.utils.files import download
from mmtsf.utils.remote_calls import attempt
from mmtsf.utils.remote_path import RemotePath
from mmtsf.utils.screen import say
from mmtsf.utils.text import cleaned, without_secrets

from .download import check_disk
from .preprocessing import PROCESSOR, PROCESSORS
from .sources import OF_THE_DISK, alone, cache_of, check_format, of_the_cache, safe_name

#: Files of a Hugging Face folder beside the weights, and how those end, the best first
SETTINGS = ('config.json', PROCESSOR, *PROCESSORS)
WEIGHTS = (('.safetensors', '.safetensors.index.json'), ('.bin', '.bin.index.json'))
#: Most files that weights lie in
MOST_FILES = 1000


def fetch_stored(url: str) -> Path:
    """Return the path in the cache of a checkpoint at an address; it is fetched if it is not there in this version.

    One of several processes fetches it, the others wait. What is there is whole.

    Args:
        url (str): Address of a file, or of a folder as Hugging Face saves it.

    Raises:
        OSError: If it cannot be fetched, or the cache cannot be written.
        ValueError: If it cannot be a checkpoint.
    """
    shown = without_secrets(url)
    if re.match(r'[^/]*://[^/]*:[^/]*@', url) or urllib.parse.urlsplit(url).query:  # abfs://container@account is one
        raise ValueError(f'{shown} holds more than an address; keys come from the environment')
    found, name = _found(RemotePath.of(url), shown)
    folder = cache_of(url) / _version(found)
    try:
        with alone(folder, shown):
            if not (folder / 'whole').is_dir():
                say(f'fetching {shown} to {folder / "whole"}')
                _fill(found, folder, shown)
                _remove_others(folder)
    except OSError as error:
        if error.errno in OF_THE_DISK:
            raise of_the_cache(error, shown, folder) from None
        raise
    return folder / 'whole' / name


def _found(address: RemotePath, shown: str) -> tuple[dict[str, dict], str]:
    """Files of a checkpoint by their addresses, with what the store tells of them; and the name that is read."""
    told = address.look_up()
    if told is None:
        raise FileNotFoundError(f'the checkpoint {shown} does not exist; correct the address')
    is_folder = told['type'] == 'directory'
    folder = address if is_folder else address.parent
    is_named_so = re.match(r'(pytorch_)?model\.(safetensors|bin)(\.index\.json)?$', address.name)
    if (is_folder or is_named_so) and (files := _of_hugging_face(folder)):
        return files, '' if is_folder else address.name
    if is_folder:
        raise ValueError(
            f'{shown} is a folder without config.json and weights; expected a checkpoint file, or a folder as Hugging '
            'Face saves it'
        )
    return {str(address): told}, safe_name(address.name)


def _of_hugging_face(folder: RemotePath) -> dict[str, dict]:
    """Files of a folder as Hugging Face saves it; none of another one."""
    entries = attempt(folder, folder.fs.ls, folder.path, detail=True)
    there = {entry['name'].rpartition('/')[2]: entry for entry in entries if entry['type'] == 'file'}
    kinds = ([name for name in there if name.endswith(ends) and _is_plain(name)] for ends in WEIGHTS)
    weights = next(filter(None, kinds), [])
    if 'config.json' not in there or not weights or len(weights) > MOST_FILES:
        return {}
    return {str(folder / name): there[name] for name in [*weights, *(set(SETTINGS) & set(there))]}


def _is_plain(name: str) -> bool:
    return re.fullmatch(r'\w[\w.-]{0,199}', name, re.ASCII) is not None


def _version(found: dict[str, dict]) -> str:
    """Name a version by all that the store tells of the files: ETags, sizes, times."""
    told = [(place, sorted((key, str(value)) for key, value in entry.items())) for place, entry in found.items()]
    return hashlib.sha256(str(sorted(told)).encode()).hexdigest()[:32]


def _fill(found: dict[str, dict], folder: Path, shown: str) -> None:
    """Fetch files to a folder that gets its name when all are there and may be what they are said to be."""
    part = folder / 'part'
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    part.mkdir(parents=True)
    try:
        for place, entry in found.items():
            check_disk(folder, size := int(entry.get('size') or 0))
            path = RemotePath.of(place)
            file = part / (path.name if len(found) > 1 else safe_name(path.name))
            download(path, file)
            if file.stat().st_size != size:
                raise ValueError(f'it has {file.stat().st_size:,} bytes, and was said to have {size:,}')
            if file.suffix != '.json':
                check_format(file)
    except ValueError as error:
        raise ValueError(f'{shown} is not taken: {cleaned(error)}; fetch it by other means and give its path') from None
    else:
        part.rename(folder / 'whole')
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _remove_others(folder: Path) -> None:
    """Remove former versions; who reads one still has it open."""
    for other in folder.parent.iterdir():
        if other != folder and other.is_dir():
            shutil.rmtree(other, ignore_errors=True)
