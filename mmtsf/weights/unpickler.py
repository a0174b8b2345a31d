"""Pickles as data: names in them stand for functions of this file alone, and tensors are described, not made."""

import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

import torch

from .archive import Refused

#: Reads that a pickle may take; that of a training of base size takes 70 thousand
MOST_READS = 1_000_000
#: Takes the place of an object that is left out
NOTHING = object()


@dataclass(frozen=True, eq=False)
class Storage:
    """Numbers of the file, not read yet."""

    key: str
    dtype: torch.dtype
    bytes: int


@dataclass(frozen=True, eq=False)
class View:
    """A tensor over a storage, not made yet."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = [self.offset, *self.size, *self.stride]
        if len(self.size) != len(self.stride) or len(self.size) > 64:
            raise Refused('a tensor in it has as many sizes as no tensor has')
        if any(type(number) is not int or not 0 <= number < 2**63 for number in numbers):
            raise Refused('a tensor in it has a size that is no size')
        reach = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride)) + 1
        if self.bytes and max(reach * self.dtype.itemsize, self.bytes) > self.storage.bytes:
            raise Refused(f'a tensor in it, {" x ".join(map(str, self.size))}, is larger than its storage')

    @property
    def bytes(self) -> int:
        return prod(self.size) * self.dtype.itemsize


def _nothing(*_: Any) -> Any:
    return NOTHING


def _record(*_: Any) -> dict:
    return {}


def _ordered(pairs: Any = ()) -> OrderedDict:
    return OrderedDict((_key(key), value) for key, value in pairs)


def _counter(counts: Any = ()) -> Counter:
    return Counter(counts if isinstance(counts, dict) else _ordered(counts))


def _tuple(values: Any = ()) -> tuple:
    if type(values) not in (tuple, list):
        raise TypeError  # a text of a hundred million characters is no size
    return tuple(values)


def _view(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> View:
    """What ``torch._utils._rebuild_tensor_v2`` is told of a tensor; version 3 adds the dtype."""
    dtype = rest[2] if len(rest) > 2 and isinstance(rest[2], torch.dtype) else storage.dtype
    return View(storage, dtype, offset, _tuple(size), _tuple(stride))


def _first(value: Any, *_: Any) -> Any:
    return value


def _called(function: Any, kind: Any, words: Any, *_: Any) -> Any:
    return function(*_tuple(words))


NUMPY = [
    f'{name}.multiarray.{function}' for name in ('numpy.core', 'numpy._core') for function in ('_reconstruct', 'scalar')
]
CONFIGS = (
    'mmengine.config.config.ConfigDict',
    'mmcv.utils.config.ConfigDict',
    'fvcore.common.config.CfgNode',
    'yacs.config.CfgNode',
    'timm.utils.model_ema.ModelEma',
)
LEFT_OUT = (
    'mmengine.logging.history_buffer.HistoryBuffer',
    'builtins.getattr',  # HistoryBuffer pickles its methods so
    *NUMPY,
    'numpy.ndarray',
    'numpy.dtype',
    'pathlib.PosixPath',
    'pathlib.WindowsPath',
    'argparse.Namespace',
    '_codecs.encode',  # bytes
    'builtins.bytearray',
    'builtins.set',
    'builtins.complex',
    'torch.device',
    'torch.Tensor',
    'torch.nn.parameter.Parameter',
)
DTYPES = {str(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)}
STORAGES = dict(
    Double=torch.float64,
    Float=torch.float32,
    Half=torch.float16,
    BFloat16=torch.bfloat16,
    Long=torch.int64,
    Int=torch.int32,
    Short=torch.int16,
    Char=torch.int8,
    Byte=torch.uint8,
    Bool=torch.bool,
    ComplexFloat=torch.complex64,
    ComplexDouble=torch.complex128,
    Untyped=torch.uint8,
)
#: All that a pickle may name, and what it gets. Nothing is imported, and nothing but these functions is called.
NAMES: dict[str, Any] = {
    **dict.fromkeys(LEFT_OUT, _nothing),
    **dict.fromkeys(CONFIGS, _record),
    'collections.OrderedDict': _ordered,
    'collections.Counter': _counter,
    'torch.Size': _tuple,
    'torch._utils._rebuild_tensor': _view,
    'torch._utils._rebuild_tensor_v2': _view,
    'torch._utils._rebuild_tensor_v3': _view,
    'torch._utils._rebuild_parameter': _first,
    'torch._utils._rebuild_parameter_with_state': _first,
    'torch._tensor._rebuild_from_type_v2': _called,
    **DTYPES,
    **{
        f'{module}.{name}Storage': dtype
        for module in ('torch', 'torch.cuda', 'torch.storage')
        for name, dtype in STORAGES.items()
    },
}
#: Names that Python 2 had
MODULES = {'__builtin__': 'builtins', 'copy_reg': 'copyreg'}


def _key(key: Any) -> Any:
    """A dict's key, if it is a text or a number: hashing anything else may not come back."""
    if type(key) not in (str, int, float, bool, type(None)):
        raise Refused(f'a dict in it has a {type(key).__name__} as key, expected a text or a number')
    if type(key) is str:
        key.encode()  # or it is no text
    return key


class _File:
    """A file that is read a bounded number of times, and never for more than it has."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.readline, self.reads = file, file.readline, 0
        place = file.tell()
        self.size = file.seek(0, 2)
        file.seek(place)

    def read(self, size: int) -> bytes:
        self.reads += 1
        if self.reads > MOST_READS:
            raise Refused(f'its pickle takes more than {MOST_READS:,} steps')
        if size > self.size:
            raise EOFError
        return self.file.read(size)


class Unpickler(pickle._Unpickler):
    """Reads one pickle of a file of PyTorch.

    After :meth:`load`, ``storages`` has the storages that it named by their keys, and ``views`` its tensors.

    Args:
        file (BinaryIO): Stands at the beginning of the pickle, and stands at its end afterwards.
    """

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(_File(file), encoding='utf-8')  # type: ignore[arg-type]
        self.storages: dict[str, Storage] = {}
        self.views: dict[int, View] = {}

    def find_class(self, module: str, name: str) -> Any:
        name = f'{MODULES.get(module, module)}.{name}'
        if name not in NAMES:
            shown = name[:100] if name.isprintable() else ascii(name)[:100]
            raise Refused(f'it asks for {shown}, and nothing but tensors and plain values is taken from a checkpoint')
        return NAMES[name]

    def persistent_load(self, pid: Any) -> Storage:
        kind, dtype, key, _, length, *view = pid
        if kind != 'storage' or any(view) or not isinstance(dtype, torch.dtype):
            raise Refused('it asks for a part that is no storage')
        if type(length) is not int or type(key) is not str:
            raise Refused('a storage in it has a length that is none')
        storage = Storage(key, dtype, length * dtype.itemsize)
        if self.storages.setdefault(key, storage).bytes != storage.bytes:
            raise Refused(f'its storage {key[:100]!r} has two lengths')
        return storage

    def _call(self) -> None:
        words = _tuple(self.stack.pop())
        self.stack[-1] = made = self.stack[-1](*words)
        if isinstance(made, View):
            self.views[id(made)] = made

    def _set(self, target: dict, items: list) -> None:
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    def _set_item(self) -> None:
        items = self.stack[-2:]
        del self.stack[-2:]
        self._set(self.stack[-1], items)

    def _set_items(self) -> None:
        items = self.pop_mark()
        self._set(self.stack[-1], items)

    def _build(self) -> None:
        self.stack.pop()  # attributes are left out

    dispatch = {  # type: ignore[assignment]
        step[0]: pickle._Unpickler.dispatch[step[0]]
        for step in (
            *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.GLOBAL, pickle.BINPERSID),
            *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT, pickle.BININT1, pickle.BININT2),
            *(pickle.LONG1, pickle.BINFLOAT, pickle.BINUNICODE, pickle.SHORT_BINSTRING),
            *(pickle.EMPTY_DICT, pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS),
            *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
            *(pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET),
        )
    } | {
        pickle.REDUCE[0]: _call,
        pickle.NEWOBJ[0]: _call,
        pickle.BUILD[0]: _build,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
    }
