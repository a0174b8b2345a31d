"""Checkpoints are data: tensors, numbers and texts. Nothing in them is executed, and nothing unpacks beyond measure."""

import json
import struct
import zipfile
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.runner import CheckpointLoader
from safetensors import safe_open
from torch import Tensor

from .archive import Refused, open_archive
from .sources import local_path
from .torch_file import read_torch_file

#: Files of a Hugging Face folder, the best first
HUGGING_FACE_FILES = ('model.safetensors', 'pytorch_model.bin')
HUGGING_FACE_CONFIG = 'config.json'
#: Bytes of a text in JSON that is read
MOST_JSON = 4 * 2**20


@CheckpointLoader.register_scheme(prefixes=('', *CheckpointLoader._schemes), force=True)  # MMEngine's own unpickle
def read_checkpoint(filename: str, map_location: Any = 'cpu') -> dict:
    """Read weights from a file; MMEngine's ``load_from``, ``--resume`` and ``init_cfg`` come here too.

    Args:
        filename (str): A ``.pth``, ``.pyth``, ``.bin``, ``.safetensors`` or ``.npz`` file, a folder of Hugging Face, a
            URL, or a name of ``model-index.yml``.
        map_location: Where tensors go, as in :func:`torch.load`. Defaults to ``'cpu'``.

    Returns:
        dict: The file's content; tensors by themselves under ``state_dict``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, or asks for more than tensors and plain values.
    """
    path = local_path(filename)
    if path.is_dir():
        return _read_hugging_face(path, map_location)
    if not path.is_file():
        raise ValueError(f'the checkpoint {path} is refused: it is no file but a pipe, a socket or a device')
    with path.open('rb') as file:
        start = file.read(64)
    if start.lstrip().lower().startswith((b'<!doctype', b'<html')):
        raise ValueError(f'{path} is not a checkpoint but a web page, perhaps of a failed download; fetch it again')
    kind, read = _format(path, start)
    try:
        return _checked(read(path, map_location or 'cpu'))
    except Refused as error:
        raise ValueError(f'the checkpoint {path} is refused: {error}') from None
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception:  # of many kinds, as damage is
        raise ValueError(f'{path} is not {kind}, or a truncated one') from None


def _format(path: Path, start: bytes) -> tuple[str, Callable[[Path, Any], Any]]:
    if path.suffix == '.npz':
        return 'an npz file', _read_npz
    if path.suffix == '.safetensors' or _is_safetensors(start):
        return 'a safetensors file', _read_safetensors
    return 'a checkpoint', read_torch_file


def _checked(content: Any) -> dict:
    """``content``, if it and its ``meta`` are dicts with names."""
    if not isinstance(content, dict):
        raise Refused(f'it holds a {type(content).__name__}, expected a dict of weights')
    for what, value in (('it', content), ('its meta', content.get('meta', {}))):
        if not isinstance(value, dict):
            raise Refused(f'{what} is a {type(value).__name__}, expected a dict')
        if odd := [key for key in value if not isinstance(key, str)]:
            raise Refused(f'{what} has the key {odd[0]}, a {type(odd[0]).__name__}, expected names')
    return content


def parse_json(text: str | bytes) -> dict:
    """A dict in JSON.

    Raises:
        Refused: If it is none, or beyond measure.
    """
    try:
        value = json.loads(text) if len(text) <= MOST_JSON else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Refused(f'its JSON is broken, no dict, nested too deep, or larger than {MOST_JSON:,} bytes')
    return value


def _read_hugging_face(folder: Path, map_location: Any) -> dict:
    config = folder / HUGGING_FACE_CONFIG
    file = next((folder / name for name in HUGGING_FACE_FILES if (folder / name).is_file()), None)
    if file is None or not config.is_file():
        lacks = HUGGING_FACE_CONFIG if file else ' or '.join(HUGGING_FACE_FILES)
        raise ValueError(
            f'{folder} is a folder without {lacks}; expected a checkpoint file, or a folder as Hugging Face saves it'
        )
    with config.open('rb') as text:
        try:
            told = parse_json(text.read(MOST_JSON + 1))
        except Refused as error:
            raise ValueError(f'{config} is refused: {error}; fetch it again') from None
    content = read_checkpoint(str(file), map_location)
    return dict(state_dict=content.get('state_dict', content), huggingface=told)


def _is_safetensors(start: bytes) -> bool:
    return len(start) > 9 and start[8:9] == b'{' and struct.unpack('<Q', start[:8])[0] < 100_000_000


def _read_safetensors(path: Path, map_location: Any) -> dict:
    with safe_open(path, framework='pt', device=str(map_location)) as file:
        meta = parse_json((file.metadata() or {}).get('mmtsf', '{}'))
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no iterator of its own
    return dict(state_dict=state, meta=meta)


def _read_npz(path: Path, map_location: Any) -> dict:
    with path.open('rb') as file, open_archive(file) as archive:
        arrays = {part.filename.removesuffix('.npy'): _read_array(archive, part) for part in archive.infolist()}
    return dict(state_dict={key: array.to(map_location) for key, array in arrays.items()})


def _read_array(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> Tensor:
    """One array of an npz file, of the size that its header declares."""
    with archive.open(part) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read_header(file)
        if dtype.hasobject:
            raise Refused('it asks for pickled objects, and nothing but arrays of numbers is taken')
        if dtype.kind not in 'biufc':
            raise Refused(f'its array {part.filename[:100]!r} holds {str(dtype)[:100]}, expected numbers')
        if any(size < 0 for size in shape) or prod(shape) * dtype.itemsize != part.file_size - file.tell():
            raise Refused(f'its array {part.filename[:100]!r} has another size than it declares')
        numbers = bytearray(part.file_size - file.tell())
        if file.readinto(numbers) != len(numbers):  # type: ignore[attr-defined]
            raise EOFError
    array = np.frombuffer(numbers, dtype).reshape(shape, order='F' if by_columns else 'C')
    return torch.from_numpy(array.astype(dtype.newbyteorder('='), copy=False))
