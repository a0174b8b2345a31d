"""Checkpoints are data: tensors, numbers and texts. Nothing in them is executed."""

import json
import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.runner import CheckpointLoader
from safetensors import SafetensorError, safe_open

from .sources import is_web_page, local_path

#: Files of a Hugging Face folder, the best first
HUGGING_FACE_FILES = ('model.safetensors', 'pytorch_model.bin')
HUGGING_FACE_CONFIG = 'config.json'


class _Nothing:
    """Takes the place of a harmless object of another library, whose tensors we want without it."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _Record(OrderedDict):
    """The same for an object that is filled like a dict: becomes an empty one."""

    def __new__(cls, *_: Any) -> OrderedDict:  # type: ignore[misc]
        return OrderedDict()


#: Objects that training checkpoints hold beside tensors. None of them is made: something inert takes their place.
STAND_INS: list[Callable | tuple[Callable, str]] = [
    *(
        (_Nothing, name)
        for name in (
            'mmengine.logging.history_buffer.HistoryBuffer',
            'builtins.getattr',  # HistoryBuffer pickles its methods so
            *(
                f'{module}.multiarray.{function}'
                for module in ('numpy.core', 'numpy._core')
                for function in ('_reconstruct', 'scalar')
            ),
            'numpy.ndarray',
            'numpy.dtype',
            'pathlib.PosixPath',
            'pathlib.WindowsPath',
            'argparse.Namespace',
        )
    ),
    *(
        (_Record, name)
        for name in (
            'mmengine.config.config.ConfigDict',
            'mmcv.utils.config.ConfigDict',
            'fvcore.common.config.CfgNode',
            'yacs.config.CfgNode',
            'timm.utils.model_ema.ModelEma',
        )
    ),
]


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
    with path.open('rb') as file:
        start = file.read(64)
    if is_web_page(start):
        raise ValueError(f'{path} is not a checkpoint but a web page, perhaps of a failed download; fetch it again')
    if path.suffix == '.npz':
        return _read_npz(path)
    if path.suffix == '.safetensors' or _is_safetensors(start):
        return _read_safetensors(path, map_location)
    return _read_torch(path, map_location)


def _read_torch(path: Path, map_location: Any) -> dict:
    try:
        with torch.serialization.safe_globals(STAND_INS):
            content = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r'GLOBAL ([\w.]+)', str(error))
        if asked is None:
            raise ValueError(f'{path} is not a checkpoint') from None
        raise ValueError(
            f'the checkpoint {path} is refused: it asks for {asked[1]}, and nothing but tensors and plain values is '
            'taken from a checkpoint'
        ) from None
    except (RuntimeError, EOFError, LookupError, OSError, ValueError, TypeError, AttributeError):
        raise ValueError(f'{path} is not a checkpoint, or a truncated one') from None
    if not isinstance(content, dict):
        raise ValueError(f'{path} holds a {type(content).__name__}, expected a dict of weights')
    return _without_stand_ins(content)


def _without_stand_ins(value: Any) -> Any:
    """``value`` without the entries that something inert took the place of."""
    if isinstance(value, dict):
        kept = {key: _without_stand_ins(item) for key, item in value.items() if not _is_stand_in(item)}
        return type(value)(kept)
    return value


def _is_stand_in(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_is_stand_in(item) for item in value)
    return isinstance(value, _Nothing)


def _read_hugging_face(folder: Path, map_location: Any) -> dict:
    config = folder / HUGGING_FACE_CONFIG
    file = next((folder / name for name in HUGGING_FACE_FILES if (folder / name).is_file()), None)
    if file is None or not config.is_file():
        lacks = HUGGING_FACE_CONFIG if file else ' or '.join(HUGGING_FACE_FILES)
        raise ValueError(
            f'{folder} is a folder without {lacks}; expected a checkpoint file, or a folder as Hugging Face saves it'
        )
    content = read_checkpoint(str(file), map_location)
    return dict(state_dict=content.get('state_dict', content), huggingface=json.loads(config.read_text()))


def _is_safetensors(start: bytes) -> bool:
    return len(start) > 9 and start[8:9] == b'{' and struct.unpack('<Q', start[:8])[0] < 100_000_000


def _read_safetensors(path: Path, map_location: Any) -> dict:
    try:
        with safe_open(path, framework='pt', device=str(map_location)) as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no iterator of its own
            meta = json.loads((file.metadata() or {}).get('mmtsf', '{}'))
    except (SafetensorError, OSError, json.JSONDecodeError):
        raise ValueError(f'{path} is not a safetensors file, or a truncated one') from None
    return dict(state_dict=state, meta=meta)


def _read_npz(path: Path) -> dict:
    try:
        with np.load(path, allow_pickle=False) as file:
            state = {key: torch.from_numpy(file[key]) for key in file.files}
    except (ValueError, TypeError) as error:
        if 'pickle' not in str(error).lower() and 'object' not in str(error).lower():
            raise ValueError(f'{path} is not an npz file, or a truncated one') from None
        raise ValueError(
            f'the checkpoint {path} is refused: it asks for pickled objects, and nothing but arrays of numbers is taken'
        ) from None
    except (zipfile.BadZipFile, OSError, EOFError):
        raise ValueError(f'{path} is not an npz file, or a truncated one') from None
    return dict(state_dict=state)
