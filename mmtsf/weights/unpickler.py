"""Read pickles as data: call only functions of this file, and describe tensors without making them."""

import pickle
import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

import torch
from torch import Tensor

from .archive import Refused
from .numpy_values import Array, DType, History, scalar

#: Reads that a pickle may take, and values that its calls may be given; a training of base size has 70 thousand
MOST_READS, MOST_GIVEN = 1_000_000, 500_000
#: Bytes of a pickle
MOST_PICKLED = 256 * 2**20
#: Characters of a text, and bytes of a whole number, that is looked up or shown
LONGEST_KEY, LONGEST_NUMBER = 10_000, 1_000
#: Numbers as keys of dicts. They can be chosen so that finding them takes as many steps as there are; texts cannot
MOST_NUMBERS, LARGEST_NUMBER = 20_000, 2**53
#: Bytes of all texts that stand for bytes; the log history of a training of base size has 0.2 million
MOST_BYTES = 64 * 2**20
#: Takes the place of an object that is left out
NOTHING = object()
#: Takes the place of a tensor that is sparse, quantised or nested, so that it is named if it is a weight
NOT_DENSE = torch.empty(0).to_sparse()


@dataclass(frozen=True, eq=False)
class Storage:
    """Describe a storage of the file that is not read yet."""

    key: str
    dtype: torch.dtype
    bytes: int


@dataclass(frozen=True, eq=False)
class View:
    """Describe a tensor over a storage; it may have more elements than the storage, by repeating them."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = [self.offset, *self.size, *self.stride]
        if len(self.size) != len(self.stride) or len(self.size) > 64:
            raise Refused('a tensor in it has as many sizes as no tensor has')
        if any(type(one) is not int or not 0 <= one < 2**63 for one in (*numbers, prod(self.size))):
            raise Refused('a tensor in it has a size that is no size')
        reach = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride)) + 1
        if self.bytes and reach * self.dtype.itemsize > self.storage.bytes:
            raise Refused(f'a tensor in it, {" x ".join(map(str, self.size))}, is larger than its storage')

    @property
    def bytes(self) -> int:
        return prod(self.size) * self.dtype.itemsize


def _nothing(*_: Any) -> Any:
    return NOTHING


def _not_dense(*_: Any) -> Tensor:
    return NOT_DENSE


def _record(unpickler: 'Unpickler', content: Any = None, *_: Any) -> dict:
    return content if isinstance(content, dict) else {}


def _ordered(unpickler: 'Unpickler', pairs: Any = ()) -> OrderedDict:
    made: OrderedDict = OrderedDict()
    for key, value in pairs:
        unpickler.set_item(made, key, value)
    return made


def _counter(unpickler: 'Unpickler', counts: Any = ()) -> Counter:
    return Counter(counts if isinstance(counts, dict) else _ordered(unpickler, counts))


def _tuple(unpickler: 'Unpickler', values: Any = ()) -> tuple:
    if type(values) not in (tuple, list):
        raise TypeError  # a text of a hundred million characters is no size
    return tuple(values)


def _view(unpickler: 'Unpickler', storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> View:
    """Describe a tensor by the arguments of ``torch._utils._rebuild_tensor_v2``; version 3 adds the dtype."""
    dtype = rest[2] if len(rest) > 2 and isinstance(rest[2], torch.dtype) else storage.dtype
    view = View(storage, dtype, offset, _tuple(unpickler, size), _tuple(unpickler, stride))
    unpickler.views.append(view)
    return view


def _first(unpickler: 'Unpickler', value: Any, *_: Any) -> Any:
    return value


def _bytes(unpickler: 'Unpickler', text: Any, encoding: Any = None, *_: Any) -> Any:
    """Make bytes, which protocol 2 writes as text."""
    if type(text) is not str or encoding != 'latin1':
        return NOTHING
    unpickler.encoded += len(text)
    if unpickler.encoded > MOST_BYTES:
        raise Refused(f'its pickle has texts for more than {MOST_BYTES:,} bytes')
    return text.encode('latin1')


def _no_bytes(*_: Any) -> bytes:
    """Make empty bytes, which protocol 2 writes as a call of ``bytes``."""
    return b''


def _dtype(unpickler: 'Unpickler', kind: Any = None, *_: Any) -> DType:
    return DType(kind)


def _array(unpickler: 'Unpickler', content: Any = None, dtype: Any = None, *_: Any) -> Array:
    """What ``_frombuffer`` is told; ``_reconstruct`` is told nothing of use, the state that follows is."""
    return Array(content, dtype)


def _scalar(unpickler: 'Unpickler', dtype: Any = None, content: Any = None, *_: Any) -> Any:
    number = scalar(dtype, content)
    return NOTHING if number is None else number


def _history(unpickler: 'Unpickler', *_: Any) -> History:
    return History()


def _called(unpickler: 'Unpickler', function: Any, kind: Any, words: Any, *_: Any) -> Any:
    return unpickler.call(function, words)


#: Dicts of other libraries, whose items are taken
RECORDS = (
    'builtins.dict',
    'collections.defaultdict',
    'mmengine.config.config.ConfigDict',
    'mmcv.utils.config.ConfigDict',
    'addict.addict.Dict',
    'easydict.EasyDict',
    'fvcore.common.config.CfgNode',
    'yacs.config.CfgNode',
    'timm.utils.model_ema.ModelEma',
    'lightning_fabric.utilities.data.AttributeDict',
    'lightning.fabric.utilities.data.AttributeDict',
    'pytorch_lightning.utilities.parsing.AttributeDict',
)
#: Harmless objects, which are left out: module, and names in it
LEFT_OUT = {
    'builtins': 'bool bytearray complex float frozenset int list object range set slice str tuple type '
    'getattr',  # HistoryBuffer pickles its methods so
    'argparse': 'Namespace',
    'collections': 'deque',
    'copyreg': '__newobj__ _reconstructor',
    'datetime': 'date datetime time timedelta timezone',
    'decimal': 'Decimal',
    'functools': 'partial',
    'pathlib': 'Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath',
    'pathlib._local': 'Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath',
    're': '_compile',
    'time': 'struct_time',
    'types': 'SimpleNamespace',
    'uuid': 'SafeUUID UUID',
    'zoneinfo': 'ZoneInfo ZoneInfo._unpickle',
    'mmengine.config.config': 'Config',
    'mmcv.utils.config': 'Config',
    'mmengine.logging.history_buffer': 'HistoryBuffer.current HistoryBuffer.max HistoryBuffer.mean HistoryBuffer.min',
    'numpy': 'bool bool_ bytes_ complex128 complex64 datetime64 float16 float32 float64 int16 int32 int64 int8 '
    'ndarray object_ str_ timedelta64 uint16 uint32 uint64 uint8',
    'numpy.random._pickle': '__bit_generator_ctor __generator_ctor __randomstate_ctor',
    'numpy.random._mt19937': 'MT19937',
    'numpy.random._pcg64': 'PCG64 PCG64DXSM',
    'numpy.random._philox': 'Philox',
    'numpy.random._sfc64': 'SFC64',
    'numpy.random.bit_generator': 'SeedSequence __pyx_unpickle_SeedSequence',
    'omegaconf.base': 'ContainerMetadata Metadata',
    'omegaconf.dictconfig': 'DictConfig',
    'omegaconf.listconfig': 'ListConfig',
    'omegaconf.nodes': 'AnyNode BooleanNode FloatNode IntegerNode StringNode',
    'torch': 'Generator Tensor channels_last channels_last_3d contiguous_format device jagged per_channel_affine '
    'per_channel_affine_float_qparams per_channel_symmetric per_tensor_affine per_tensor_symmetric preserve_format '
    'sparse_bsc sparse_bsr sparse_coo sparse_csc sparse_csr strided',
    'torch._C': 'Generator',
    'torch.nn.parameter': 'Buffer Parameter',
    'torch.serialization': '_get_layout',
    'torch.torch_version': 'TorchVersion',
    'typing': 'Any',
}
#: Functions of torch that make tensors which are not dense
MAKERS_NOT_DENSE = (
    '_rebuild_sparse_tensor',
    '_rebuild_sparse_csr_tensor',
    '_rebuild_qtensor',
    '_rebuild_nested_tensor',
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
    QUInt8=torch.quint8,
    QInt8=torch.qint8,
    QInt32=torch.qint32,
    QUInt4x2=torch.quint4x2,
    QUInt2x4=torch.quint2x4,
)
#: All that a pickle may name, and what it gets. Nothing is imported, and nothing but these functions is called.
NAMES: dict[str, Any] = {
    **{f'{module}.{name}': _nothing for module, names in LEFT_OUT.items() for name in names.split()},
    **{f'torch.{place}{name}Tensor': _nothing for place in ('', 'cuda.') for name in STORAGES},
    **{f'torch._utils.{name}': _not_dense for name in MAKERS_NOT_DENSE},
    **dict.fromkeys(RECORDS, _record),
    **{f'numpy.{core}.multiarray._reconstruct': _array for core in ('core', '_core')},
    **{f'numpy.{core}.multiarray.scalar': _scalar for core in ('core', '_core')},
    **{f'numpy.{core}.numeric._frombuffer': _array for core in ('core', '_core')},
    'numpy.dtype': _dtype,
    'mmengine.logging.history_buffer.HistoryBuffer': _history,
    '_codecs.encode': _bytes,
    'builtins.bytes': _no_bytes,
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


class _File:
    """Limit the number of reads and bytes of a file."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.reads, self.bytes = file, 0, 0
        place = file.tell()
        self.size = file.seek(0, 2)
        file.seek(place)

    def read(self, size: int) -> bytes:
        self.reads += 1
        if self.reads > MOST_READS:
            raise Refused(f'its pickle takes more than {MOST_READS:,} steps')
        if size > self.size:
            raise EOFError
        self.bytes += size
        if self.bytes > MOST_PICKLED:
            raise Refused(f'its pickle is larger than {MOST_PICKLED:,} bytes')
        return self.file.read(size)

    def readline(self) -> bytes:
        return self.file.readline(LONGEST_KEY)


def _refusal(name: str) -> Callable[['Unpickler'], None]:
    def refuse(unpickler: 'Unpickler') -> None:
        if unpickler.proto < 2:
            raise pickle.UnpicklingError  # it is no pickle of PyTorch
        raise Refused(f'its pickle takes the step {name}, which PyTorch does not write; save it anew with torch.save')

    return refuse


class Unpickler(pickle._Unpickler):
    """Read one pickle of a PyTorch file.

    After :meth:`load`, ``storages`` has the storages that it named by their keys, and ``views`` its tensors.

    Args:
        file (BinaryIO): Stands at the beginning of the pickle, and stands at its end afterwards.
    """

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]
    read: Callable[[int], bytes]
    append: Callable[[Any], None]
    proto: int

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(_File(file), encoding='utf-8')  # type: ignore[arg-type]
        self.storages: dict[str, Storage] = {}
        self.views: list[View] = []
        self.given = self.numbers = self.encoded = 0

    def find_class(self, module: str, name: str) -> Any:
        module, name = NAME_MAPPING.get((module, name), (module, name))  # of Python 2, which protocol 2 goes by
        name = f'{IMPORT_MAPPING.get(module, module)}.{name}'
        if name not in NAMES:
            shown = name[:100] if name.isprintable() else ascii(name)[:100]
            raise Refused(f'it asks for {shown}, and nothing but tensors and plain values is taken from a checkpoint')
        return NAMES[name]

    def persistent_load(self, pid: Any) -> Storage:
        kind, dtype, key, _, length, *view = pid
        if kind != 'storage' or any(view) or not isinstance(dtype, torch.dtype):
            raise Refused('it asks for a part that is no storage')
        if type(length) is not int or not 0 <= length < 2**63 or type(key) is not str:
            raise Refused('a storage in it has a length that is none')
        storage = Storage(key, dtype, length * dtype.itemsize)
        if self.storages.setdefault(key, storage).bytes != storage.bytes:
            raise Refused(f'its storage {key[:100]!r} has two lengths')
        return storage

    def call(self, function: Any, words: Any) -> Any:
        """Call a function of this file, counting the items of list arguments, which may be copied."""
        words = _tuple(self, words)
        self.given += sum(len(word) for word in (words, *words) if isinstance(word, (tuple, list, dict)))
        if self.given > MOST_GIVEN:
            raise Refused(f'its pickle gives more than {MOST_GIVEN:,} values to calls')
        return NOTHING if function is NOTHING else function(self, *words)

    def set_item(self, target: Any, key: Any, value: Any) -> None:
        """Set an item whose key is a string or a number; leave out others, whose hash may take for ever."""
        if type(key) is str:
            if len(key) > LONGEST_KEY or not key.isascii() and key.encode(errors='ignore').decode() != key:
                raise Refused(f'a dict in it has a key that is no text, or of more than {LONGEST_KEY:,} characters')
        elif type(key) in (int, float, bool, type(None)) and abs(key or 0) < LARGEST_NUMBER:
            self.numbers += 1
            if self.numbers > MOST_NUMBERS:
                raise Refused(f'its dicts have more than {MOST_NUMBERS:,} keys that are numbers, expected names')
        else:
            return
        if target is not NOTHING:
            target[key] = value

    def _call(self) -> None:
        words = self.stack.pop()
        self.stack[-1] = self.call(self.stack[-1], words)

    def _call_with_names(self) -> None:
        self.stack.pop()  # no function here takes any
        self._call()

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_item(self.stack[-1], key, value)

    def _set_items(self) -> None:
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.set_item(self.stack[-1], key, value)

    def _extend(self) -> None:
        items = self.pop_mark()
        if self.stack[-1] is not NOTHING:
            self.stack[-1].extend(items)

    def _append(self) -> None:
        item = self.stack.pop()
        if self.stack[-1] is not NOTHING:
            self.stack[-1].append(item)

    def _build(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], (Array, DType, History)):
            self.stack[-1].build(state)  # attributes of others are left out

    def _frame(self) -> None:
        self.read(8)  # what it frames follows

    def _long(self) -> None:
        size = int.from_bytes(self.read(4), 'little')
        if size > LONGEST_NUMBER:
            raise Refused(f'a number in it has {size:,} bytes')
        self.append(int.from_bytes(self.read(size), 'little', signed=True))

    def _empty_set(self) -> None:
        self.append(NOTHING)

    def _add_items(self) -> None:
        self.pop_mark()

    def _frozen_set(self) -> None:
        self.pop_mark()
        self.append(NOTHING)

    def _short_bytes(self, of_size: int = 1) -> None:
        self.append(self.read(int.from_bytes(self.read(of_size), 'little')))

    def _bytes(self) -> None:
        self._short_bytes(4)

    def _long_bytes(self) -> None:
        self._short_bytes(8)

    dispatch = (
        {ord(step.code): _refusal(step.name) for step in pickletools.opcodes}
        | {  # type: ignore[assignment]
            step[0]: pickle._Unpickler.dispatch[step[0]]
            for step in (
                *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.GLOBAL, pickle.BINPERSID),
                *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT, pickle.BININT1, pickle.BININT2),
                *(pickle.LONG1, pickle.BINFLOAT, pickle.BINSTRING, pickle.SHORT_BINSTRING),
                *(pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINUNICODE8),
                *(
                    pickle.EMPTY_DICT,
                    pickle.EMPTY_LIST,
                    pickle.POP,
                    pickle.POP_MARK,
                    pickle.STACK_GLOBAL,
                    pickle.MEMOIZE,
                ),
                *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
                *(pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET),
            )
        }
        | {
            pickle.REDUCE[0]: _call,
            pickle.NEWOBJ[0]: _call,
            pickle.NEWOBJ_EX[0]: _call_with_names,
            pickle.BUILD[0]: _build,
            pickle.FRAME[0]: _frame,
            pickle.LONG4[0]: _long,
            pickle.APPEND[0]: _append,
            pickle.APPENDS[0]: _extend,
            pickle.EMPTY_SET[0]: _empty_set,
            pickle.ADDITEMS[0]: _add_items,
            pickle.FROZENSET[0]: _frozen_set,
            pickle.SHORT_BINBYTES[0]: _short_bytes,
            pickle.BINBYTES[0]: _bytes,
            pickle.BINBYTES8[0]: _long_bytes,
            pickle.BYTEARRAY8[0]: _long_bytes,
            pickle.SETITEM[0]: _set_item,
            pickle.SETITEMS[0]: _set_items,
        }
    )
