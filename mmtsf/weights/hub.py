"""Fetch a model of the Hugging Face hub: config, weights and processors as data, and never code."""

import re
from pathlib import Path

from mmtsf.utils.text import cleaned

from .model_card import REPOSITORY
from .preprocessing import PROCESSOR, PROCESSORS

#: What is fetched, by the hub's patterns
WEIGHTS = ('model.safetensors', 'model.safetensors.index.json', 'model-*-of-*.safetensors')
FILES = ('config.json', *WEIGHTS, PROCESSOR, *PROCESSORS)


def hub_folder(name: str, revision: str | None = None) -> Path:
    """Return the folder of a model in the cache of huggingface_hub, which fetches what is missing.

    ``HF_HUB_OFFLINE=1`` asks no server; ``HF_TOKEN``, ``HF_ENDPOINT`` and ``HF_HOME`` are huggingface_hub's.

    Args:
        name (str): ``OWNER/NAME``.
        revision (str, optional): Branch, tag or commit. Defaults to None: the main branch.

    Raises:
        FileNotFoundError: If there is none, or it cannot be fetched.
        ValueError: If it has no safetensors, or the name or revision is none.
    """
    if not REPOSITORY.fullmatch(name) or '..' in name:
        raise ValueError(f'{name!r} is no model of the hub, expected OWNER/NAME')
    if revision is not None and not re.fullmatch(r'\w[\w./-]{0,199}', revision, re.ASCII):
        raise ValueError(f'revision is {revision[:200]!r}, expected a branch, a tag or a commit')
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError

    shown = name if revision is None else f'{name} at {revision}'
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(FILES)))
    except GatedRepoError:
        raise FileNotFoundError(
            f'{shown} is open to those who accepted its terms at https://huggingface.co/{name}; then HF_TOKEN names you'
        ) from None
    except LocalEntryNotFoundError:
        raise FileNotFoundError(
            f'{shown} is not in the cache of huggingface_hub, and the hub cannot be asked; fetch it where there is a '
            'network (hf download), and give the folder'
        ) from None
    except Exception as error:  # of many kinds, as those of its HTTP client
        remedy = 'correct the name, or try again'
        raise FileNotFoundError(f'{shown} cannot be fetched: {cleaned(error)[:300]}; {remedy}') from None
    if not any((folder / weights).is_file() for weights in WEIGHTS[:2]):
        raise ValueError(
            f'{shown} has no model.safetensors, and nothing else is taken by its name; hf://{name} reads '
            'pytorch_model.bin, as data too, or another revision has it'
        )
    return folder
