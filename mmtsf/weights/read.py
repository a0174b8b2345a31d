"""Read checkpoints as data: execute nothing in them, and limit what they unpack to."""

import errno
import json
import re
import reprlib
import struct
import zipfile
from collections.abc import Callable, Sized
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from mmtsf.utils.text import shorten, without_secrets

from .archive import Refused, open_archive
from .preprocessing import NESTED, PROCESSOR, PROCESSORS
from .sources import MOST_HEADER, is_web_page, local_path
from .torch_file import read_torch_file
from .translate import MOST_WEIGHTS, OF_PEFT

#: Files of a Hugging Face folder, the best first; of a model in several files, that which says what is where
HUGGING_FACE_FILES = ('model.safetensors', 'pytorch_model.bin')
HUGGING_FACE_INDEXES = tuple(f'{name}.index.json' for name in HUGGING_FACE_FILES)
HUGGING_FACE_CONFIG = 'config.json'
#: A file beside adapters, which transformers adds to the weights of a folder
PEFT_CONFIG = 'adapter_config.json'
#: Bytes of a text in JSON that is read
MOST_JSON = 4 * 2**20


def read_checkpoint(filename: str, map_location: Any = 'cpu') -> dict:
    """Read weights from a file.

    Args:
        filename (str): A ``.pth``, ``.pyth``, ``.bin``, ``.safetensors`` or ``.npz`` file, a folder of Hugging Face, a
            URL, or a name of ``model-index.yml``.
        map_location: Where tensors go, as in :func:`torch.load`. Defaults to ``'cpu'``.

    Returns:
        dict: The file's content; tensors by themselves under ``state_dict``, log histories as MMEngine's
        ``HistoryBuffer``.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If it is no checkpoint, or asks for more than tensors and plain values.
    """
    path = local_path(filename)
    if path.is_dir():
        return _read_hugging_face(path, map_location)
    if _is_of_hugging_face(path):
        return _read_hugging_face(path.parent, map_location, path)
    again = '' if path == Path(filename).expanduser() else f'; remove it to fetch {without_secrets(filename)} again'
    return _read_file(path, map_location, again)


def _read_file(path: Path, map_location: Any, remedy: str = '') -> dict:
    if not path.is_file():
        raise ValueError(f'the checkpoint {path} is refused: it is no file but a pipe, a socket or a device')
    try:
        with path.open('rb') as file:
            start = file.read(64)
    except OSError as error:
        raise _unreadable(path, error) from None
    if is_web_page(start):
        raise ValueError(f'{path} is not a checkpoint but a web page, perhaps of a failed download; fetch it again')
    kind, read = _format(path, start)
    damaged = ValueError(f'{path} is not {kind}, or a truncated one{remedy}')
    try:
        return _checked(read(path, map_location or 'cpu'))
    except Refused as error:
        raise ValueError(f'the checkpoint {path} is refused: {error}') from None
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except OSError as error:
        invalid = error.errno in (None, errno.EINVAL)  # as a place that the file does not have
        raise (damaged if invalid else _unreadable(path, error)) from None
    except Exception:  # of many kinds, as damage is
        raise damaged from None


def _unreadable(path: Path, error: OSError) -> OSError:
    return OSError(
        f'the checkpoint {path} cannot be read: {error.strerror}; it, or the disk that it lies on, is at fault'
    )


def _format(path: Path, start: bytes) -> tuple[str, Callable[[Path, Any], Any]]:
    if path.suffix == '.npz' or (start.startswith(b'PK\x03\x04') and _holds_arrays(path)):
        return 'an npz file', _read_npz
    if path.suffix == '.safetensors' or _is_safetensors(start):
        return 'a safetensors file', _read_safetensors
    return 'a checkpoint', read_torch_file


def _holds_arrays(path: Path) -> bool:
    """Return whether an archive is an npz file, whatever its name."""
    with suppress(Exception), path.open('rb') as file, open_archive(file) as archive:
        return all(part.filename.endswith('.npy') for part in archive.infolist())
    return False  # what is wrong with it is said where it is read


def _checked(content: Any) -> dict:
    """Check that ``content`` and its ``meta`` are dicts with string keys."""
    if not isinstance(content, dict):
        raise Refused(f'it holds a {type(content).__name__}, expected a dict of weights')
    for what, value in (('it', content), ('its meta', content.get('meta', {}))):
        if not isinstance(value, dict):
            raise Refused(f'{what} is a {type(value).__name__}, expected a dict')
        if odd := [key for key in value if not isinstance(key, str)]:
            raise Refused(f'{what} has the key {odd[0]}, a {type(odd[0]).__name__}, expected names')
    return content


def parse_json(text: str | bytes) -> dict:
    """Parse a JSON object.

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


def _is_of_hugging_face(file: Path) -> bool:
    """Return whether a file lies in a folder as Hugging Face saves it, whose config tells more."""
    if file.name not in (*HUGGING_FACE_FILES, *HUGGING_FACE_INDEXES):
        return False
    config = file.with_name(HUGGING_FACE_CONFIG)
    told = _read_json(config) if config.is_file() else {}
    return isinstance(told.get('model_type'), str) or _is_of_timm(told)


def _is_of_timm(told: dict) -> bool:
    """Return whether a ``config.json`` is timm's, which does not tell what Hugging Face's does."""
    return 'model_type' not in told and isinstance(told.get('architecture'), str)


def _processor_of_timm(told: dict) -> dict[str, dict]:
    """Return what timm's ``config.json`` tells of pixels, as a processor of Hugging Face has it."""
    name = 'pretrained_cfg' if isinstance(told.get('pretrained_cfg'), dict) else ''
    pixels = told[name] if name else told
    known = {f'image_{word}': pixels[word] for word in ('mean', 'std') if word in pixels}
    return {': '.join(filter(None, (HUGGING_FACE_CONFIG, name))): known} if known else {}


def _read_hugging_face(folder: Path, map_location: Any, file: Path | None = None) -> dict:
    if (folder / PEFT_CONFIG).is_file():
        raise ValueError(f'{folder} holds {OF_PEFT}')
    config = folder / HUGGING_FACE_CONFIG
    names = (*HUGGING_FACE_FILES, *HUGGING_FACE_INDEXES)
    file = file or next((folder / name for name in names if (folder / name).is_file()), None)
    if file is None or not config.is_file():
        lacks = HUGGING_FACE_CONFIG if file else ' or '.join(HUGGING_FACE_FILES)
        raise ValueError(
            f'{folder} is a folder without {lacks}; expected a checkpoint file, or a folder as Hugging Face saves it'
        )
    read = _read_shards if file.name in HUGGING_FACE_INDEXES else _read_state
    told, processors = _read_json(config), _read_processors(folder)
    if _is_of_timm(told):
        return dict(state_dict=read(file, map_location), processors=processors | _processor_of_timm(told))
    return dict(state_dict=read(file, map_location), huggingface=told, processors=processors)


def _read_processors(folder: Path) -> dict[str, dict]:
    """Return what the processors of a folder are told, by their files."""
    told = {name: _read_json(folder / name) for name in PROCESSORS if (folder / name).is_file()}
    nested = _read_json(folder / PROCESSOR) if (folder / PROCESSOR).is_file() else {}
    return told | {f'{PROCESSOR}: {name}': nested[name] for name in NESTED if isinstance(nested.get(name), dict)}


def _read_json(path: Path) -> dict:
    try:
        with path.open('rb') as text:
            return parse_json(text.read(MOST_JSON + 1))
    except Refused as error:
        raise ValueError(f'{path} is refused: {error}; fetch it again') from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _read_state(path: Path, map_location: Any) -> dict:
    content = _read_file(path, map_location)
    return content.get('state_dict', content)


def _read_shards(index: Path, map_location: Any) -> dict:
    """Read the weights of all files in an index, and check that each holds what the index says."""
    place_of = _read_json(index).get('weight_map')
    if not isinstance(place_of, dict) or not place_of or len(place_of) > MOST_WEIGHTS:
        raise ValueError(f'{index} is refused: it has no weight_map, or one of more than {MOST_WEIGHTS:,} weights')
    if odd := [name for name in place_of.values() if not _is_beside(index, name)]:
        raise ValueError(f'{index} is refused: it names {reprlib.repr(odd[0])}, expected a file beside it')
    state: dict = {}
    for name in dict.fromkeys(place_of.values()):
        shard = _read_state(index.with_name(name), map_location)
        expected = {key for key, place in place_of.items() if place == name}
        if other := expected ^ set(shard):
            raise ValueError(
                f'{index.with_name(name)} and {index.name} do not belong together: one of them lacks '
                f'{shorten(sorted(other))}; fetch them again'
            )
        state |= shard
    return state


def _is_beside(index: Path, name: Any) -> bool:
    """Return whether a name is a file in the folder, or one that Hugging Face's cache links to."""
    if not isinstance(name, str) or not re.fullmatch(r'\w[\w.-]{0,199}', name, re.ASCII):
        return False
    folder = index.parent.resolve()
    path = folder.joinpath(name).resolve()
    return path.is_file() and path.parent in (folder, folder.parent.parent / 'blobs')


def _check_number(names: Sized) -> None:
    if len(names) > MOST_WEIGHTS:
        raise Refused(f'it has {len(names):,} weights, more than the {MOST_WEIGHTS:,} of any model')


def _is_safetensors(start: bytes) -> bool:
    return len(start) > 9 and start[8:9] == b'{' and struct.unpack('<Q', start[:8])[0] < 100_000_000


def _read_safetensors(path: Path, map_location: Any) -> dict:
    with path.open('rb') as start:
        length = struct.unpack('<Q', start.read(8))[0]
    if MOST_HEADER < length < path.stat().st_size:
        raise Refused(f'its header has {length:,} bytes, and no more than {MOST_HEADER:,} are taken')
    with safe_open(path, framework='pt', device=str(map_location)) as file:
        _check_number(file.keys())
        meta = parse_json((file.metadata() or {}).get('mmtsf', '{}'))
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no iterator of its own
    return dict(state_dict=state, meta=meta)


def _read_npz(path: Path, map_location: Any) -> dict:
    with path.open('rb') as file, open_archive(file) as archive:
        _check_number(archive.namelist())
        arrays = {part.filename.removesuffix('.npy'): _read_array(archive, part) for part in archive.infolist()}
    return dict(state_dict={key: array.to(map_location) for key, array in arrays.items()})


def _read_array(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> Tensor:
    """Read one array of an npz file, of the size that its header declares."""
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
