"""Checkpoints are data: tensors, numbers and texts. Nothing in them is executed."""
import pickle
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
        reason = str(error).splitlines()[0]
        if 'GLOBAL' in str(error) or 'global' in str(error).lower():
            reason = next(line.strip() for line in str(error).splitlines() if 'global' in line.lower())
        raise ValueError(f'the checkpoint {path} is refused: it holds more than tensors and plain values, and nothing '
                         f'in a checkpoint is executed here ({reason})') from None
    except (RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f'{path} is not a checkpoint, or a truncated one: {str(error).splitlines()[0]}') from None


@CheckpointLoader.register_scheme(prefixes=('http://', 'https://'), force=True)
def read_checkpoint_url(url: str, map_location: Any = 'cpu') -> dict:
    """Download a checkpoint to PyTorch's cache and read it like any other."""
    return torch.hub.load_state_dict_from_url(url, map_location=map_location, weights_only=True)
