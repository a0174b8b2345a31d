"""Files of PyTorch with what is given, which need not be what they say."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch


class Storage:
    """Pickled as a storage of floats with as many numbers as it says."""

    def __init__(self, key: str, length: int) -> None:
        self.words = ('storage', torch.FloatStorage, key, 'cpu', length)


class Described:
    """Pickled as a tensor with the size, stride and storage that it says."""

    def __init__(self, storage: Storage, size: tuple, stride: tuple) -> None:
        self.words = (storage, 0, size, stride, False, OrderedDict())

    def __reduce__(self) -> tuple:
        return torch._utils._rebuild_tensor_v2, self.words


def pickled(content: object, *more: object) -> bytes:
    """``content`` as PyTorch pickles it."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> tuple | None:
            return (*value.words, *more) if isinstance(value, Storage) else None

    file = io.BytesIO()
    Pickler(file, protocol=2).dump(content)
    return file.getvalue()


def archive(path: Path, pickle: bytes, method: int = zipfile.ZIP_STORED, **storages: bytes) -> Path:
    """A file of PyTorch with the pickle and the storages that are given."""
    with zipfile.ZipFile(path, 'w', method) as file:
        file.writestr('a/data.pkl', pickle)
        for key, numbers in storages.items():
            file.writestr(f'a/data/{key}', numbers)
    return path


def stream(path: Path, content: object, length: int, numbers: bytes) -> Path:
    """The same in the format of before PyTorch 1.6, with one storage ``s``."""
    system = dict(protocol_version=1001, little_endian=True, type_sizes={})
    parts = [pickle.dumps(part, protocol=2) for part in (torch.serialization.MAGIC_NUMBER, 1001, system)]
    parts += [pickled(content, None), pickle.dumps(['s'], protocol=2), struct.pack('<q', length), numbers]
    path.write_bytes(b''.join(parts))
    return path
