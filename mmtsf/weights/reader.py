"""Checkpoints are data: tensors, numbers and texts. Nothing in them is executed."""

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import CheckpointLoader


@CheckpointLoader.register_scheme(prefixes='', force=True)
def read_checkpoint(filename: str, map_location: Any = 'cpu') -> dict:
    """Read a checkpoint file; MMEngine's ``load_from``, ``--resume`` and ``init_cfg`` come here too.

    Args:
        filename (str): Path of the file.
        map_location: Where tensors go, as in :func:`torch.load`. Defaults to ``'cpu'``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, or asks for more than tensors and plain values.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'the checkpoint {path} does not exist')
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r'GLOBAL ([\w.]+)', str(error))
        if asked is None:
            raise ValueError(f'{path} is not a checkpoint') from None
        raise ValueError(
            f'the checkpoint {path} is refused: it asks for {asked[1]}, and nothing but tensors and plain values is '
            'taken from a checkpoint'
        ) from None
    except (RuntimeError, EOFError, LookupError, OSError, ValueError):
        raise ValueError(f'{path} is not a checkpoint, or a truncated one') from None


@CheckpointLoader.register_scheme(prefixes=('http://', 'https://'), force=True)
def read_checkpoint_url(url: str, map_location: Any = 'cpu') -> dict:
    """Download a checkpoint to PyTorch's cache and read it like any other."""
    return torch.hub.load_state_dict_from_url(url, map_location=map_location, weights_only=True)
