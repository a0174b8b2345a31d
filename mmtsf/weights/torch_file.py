"""Read PyTorch's files as data, and check their sizes before reading.

PyTorch's own restricted reader takes a pickle's word for the sizes of storages, and unpacks what it is told to.
"""

import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from .archive import Refused, open_archive
from .numpy_values import History
from .unpickler import MOST_PICKLED, NOTHING, Storage, Unpickler, View

#: Values in a file, and how deep they may lie; a training of base size has 10 thousand, 5 deep
MOST_VALUES, DEEPEST = 1_000_000, 64
#: Tensors may share numbers, as tied weights and averages do at their start. As they may be copied later, together they
#: are no more than this many times those of the file
MOST_SHARED = 64
#: First words of the format of before PyTorch 1.6
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
#: What is said of an archive of TorchScript
PROGRAM = (
    "it is an archive of TorchScript, which is a program beside its weights; take the publisher's weights alone (those "
    "of OpenAI's CLIP: start=clip_vit_base_patch16 and its siblings), or, if you trust it, save them: "
    'torch.save(torch.jit.load(FILE, "cpu").state_dict(), "weights.pth")'
)
PLAIN = (type(None), bool, int, float, str)


def read_torch_file(path: Path, map_location: Any) -> Any:
    """Read a file of :func:`torch.save`: dicts, lists, texts, numbers, dense tensors and MMEngine's log histories.

    Other objects that a training writes are left out.

    Raises:
        Refused: If it asks for more, or for more numbers than it has.
    """
    with path.open('rb') as file:
        if file.read(4) == b'PK\x03\x04':
            with open_archive(file) as archive:
                return _read_archive(file, archive, map_location)
        file.seek(0)
        return _read_stream(file, map_location)


def _read_archive(file: BinaryIO, archive: zipfile.ZipFile, map_location: Any) -> Any:
    """Read the zip format: ``NAME/data.pkl``, and each storage as ``NAME/data/KEY``."""
    parts = {part.filename.partition('/')[2]: part for part in archive.infolist()}
    if 'constants.pkl' in parts:
        raise Refused(PROGRAM)
    if 'byteorder' in parts:
        with archive.open(parts['byteorder']) as order:
            _check_order(order.read(10).decode())
    if parts['data.pkl'].file_size > MOST_PICKLED:
        raise Refused(f'its pickle is larger than {MOST_PICKLED:,} bytes')
    unpickler = Unpickler(BytesIO(archive.read(parts['data.pkl'])))
    content = unpickler.load()
    for storage in unpickler.storages.values():
        _check_length(storage, parts[f'data/{storage.key}'].file_size)

    def fill(storage: Storage, numbers: memoryview) -> int:
        part = parts[f'data/{storage.key}']
        if part.compress_type != zipfile.ZIP_STORED:
            with archive.open(part) as unpacked:
                return unpacked.readinto(numbers)  # type: ignore[attr-defined]
        file.seek(part.header_offset)
        file.seek(sum(struct.unpack('<HH', file.read(30)[26:])), 1)  # the header ends in a name and other fields
        return file.readinto(numbers)  # type: ignore[attr-defined]

    return _Content(unpickler, fill, map_location).plain(content)


def _read_stream(file: BinaryIO, map_location: Any) -> Any:
    """Read the format before PyTorch 1.6: five pickles, then the storages, each after its length."""
    if Unpickler(file).load() != MAGIC or Unpickler(file).load() != VERSION:
        raise pickle.UnpicklingError
    _check_order('little' if Unpickler(file).load()['little_endian'] else 'big')
    unpickler = Unpickler(file)
    content = unpickler.load()
    places: dict[str, int] = {}
    for key in Unpickler(file).load():
        if type(key) is not str or key in places:
            raise pickle.UnpicklingError
        storage = unpickler.storages[key]
        _check_length(storage, struct.unpack('<q', file.read(8))[0] * storage.dtype.itemsize)
        places[key] = file.tell()
        file.seek(storage.bytes, 1)
    if file.tell() > file.seek(0, 2) or set(places) != set(unpickler.storages):
        raise EOFError

    def fill(storage: Storage, numbers: memoryview) -> int:
        file.seek(places[storage.key])
        return file.readinto(numbers)  # type: ignore[attr-defined]

    return _Content(unpickler, fill, map_location).plain(content)


def _check_order(order: str) -> None:
    if order != sys.byteorder:
        raise Refused(
            f'its numbers are {order[:10]!r} endian, expected {sys.byteorder}; write it anew on such a machine'
        )


def _check_length(storage: Storage, there: int) -> None:
    if storage.bytes != there:
        raise Refused(f'its storage {storage.key[:100]!r} has {there:,} bytes, and {storage.bytes:,} are declared')


class _Content:
    """Turn the unpickler's result into tensors and plain values.

    Args:
        unpickler (Unpickler): After :meth:`Unpickler.load`.
        fill (Callable): Reads the bytes of a storage into a buffer, and says how many there were.
        map_location: Device of the tensors.
    """

    def __init__(self, unpickler: Unpickler, fill: Callable[[Storage, memoryview], int], map_location: Any) -> None:
        self.fill = fill
        self.device = torch.device(map_location)
        self.values = 0
        self.numbers: dict[str, Tensor] = {}
        self.tensors: dict[int, Tensor] = {}
        there = sum(storage.bytes for storage in unpickler.storages.values())
        asked = sum(view.bytes for view in unpickler.views if view.bytes <= view.storage.bytes)
        if asked > MOST_SHARED * there:
            raise Refused(
                f'its tensors have {asked:,} bytes, and share {there:,}, which is more than {MOST_SHARED} times over; '
                'save clones of them (tensor.clone())'
            )

    def plain(self, value: Any, depth: int = 0) -> Any:
        self.values += 1
        if depth > DEEPEST or self.values > MOST_VALUES:
            raise Refused(
                f'its values refer to themselves, lie more than {DEEPEST} deep, or are more than {MOST_VALUES:,}'
            )
        if isinstance(value, View):
            return self._tensor(value)
        if isinstance(value, Tensor):
            return value
        if isinstance(value, History):
            made = value.made()
            return NOTHING if made is None else made
        if isinstance(value, dict):
            kept = {key: self.plain(item, depth + 1) for key, item in value.items()}
            return type(value)({key: item for key, item in kept.items() if item is not NOTHING})
        if isinstance(value, (list, tuple)):
            items = [self.plain(item, depth + 1) for item in value]
            return NOTHING if any(item is NOTHING for item in items) else type(value)(items)
        return value if type(value) in PLAIN else NOTHING

    def _tensor(self, view: View) -> Tensor:
        if id(view) not in self.tensors:
            empty = torch.empty(0, dtype=view.dtype, device=self.device)
            numbers = self._numbers(view.storage).untyped_storage()
            self.tensors[id(view)] = empty.set_(numbers, view.offset, view.size, view.stride)
        return self.tensors[id(view)]

    def _numbers(self, storage: Storage) -> Tensor:
        if storage.key not in self.numbers:
            numbers = torch.empty(
                storage.bytes, dtype=torch.uint8, device='meta' if self.device.type == 'meta' else 'cpu'
            )
            if not numbers.is_meta and storage.bytes and self.fill(storage, numbers.numpy().data) != storage.bytes:
                raise EOFError
            self.numbers[storage.key] = numbers.to(self.device)
        return self.numbers[storage.key]
