"""List the shipped models, and make a config or a model of one by its name, as MMEngine's hub does."""

import fnmatch
import warnings
from pathlib import Path
from typing import Any

from .utils.sources import MODEL_INDEX, PREFIX

#: Folder of shipped configs, as in the model index
FOLDER = 'configs/'


def list_models(pattern: str = '*', pretrained: bool = False) -> list[str]:
    """List the names of models of the paper, which :func:`get_config` and :func:`get_model` take.

    Args:
        pattern (str): Which names, e.g. ``'*ssv2*'``. Defaults to all.
        pretrained (bool): Whether only those are listed that have published weights. Defaults to False.
    """
    return sorted(
        name
        for name, model in _models().items()
        if fnmatch.fnmatchcase(name, pattern) and (not pretrained or 'Weights' in model)
    )


def get_config(name: str | Path, pretrained: bool = False, options: dict | None = None) -> Any:
    """Return the config of a model, resolved.

    Args:
        name (str | Path): A name of :func:`list_models`, a shipped config's (``'mmtsf::timesformer_base_k400.py'``), or
            the path of a config.
        pretrained (bool): Whether it is for the published weights: what they need is set, and their name is
            ``model_path``. Defaults to False.
        options (dict, optional): Changes by dotted keys. Defaults to None.

    Raises:
        FileNotFoundError: If there is no such model or config.
        ValueError: If it has no published weights.

    Returns:
        mmengine.Config: The config.
    """
    from .config import load_config

    path, weights, needed = _found(str(name))
    if pretrained and weights is None:
        raise ValueError(
            f'there are no published weights of {name}; those with weights are {", ".join(list_models("*", True))}'
        )
    config = load_config(path, ({**needed} if pretrained else {}) | (options or {}))
    if pretrained:
        config.model_path = weights
    return config


def get_model(
    name: str | Path, pretrained: bool | str | Path = False, device: Any = None, options: dict | None = None
) -> Any:
    """Return a model in evaluation mode.

    Args:
        name (str | Path): As for :func:`get_config`.
        pretrained (bool | str | Path): Whether it has the published weights, or other weights: a file, a URL or a
            published name. Defaults to False: random ones.
        device (str | torch.device, optional): Where it computes. Defaults to None: the best there is.
        options (dict, optional): Changes to the config by dotted keys. Defaults to None.

    Raises:
        FileNotFoundError: If there is no such model, config or checkpoint.
        ValueError: If it has no published weights, or there is no such device.

    Returns:
        BaseRecognizer: As :func:`mmtsf.apis.init_recognizer` returns it.
    """
    from .apis import init_recognizer

    config = get_config(name, pretrained is True, options)
    if pretrained is False:
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', 'no weights are given')  # they were not asked for
            return init_recognizer(config, device=device)
    return init_recognizer(config, config.model_path if pretrained is True else pretrained, device)


def _models() -> dict[str, dict]:
    """Return the entries of the model index that have a config, by their names."""
    import yaml

    entries = yaml.safe_load(MODEL_INDEX.read_text())['Models']
    return {entry['Name']: entry for entry in entries if 'Config' in entry}


def _found(name: str) -> tuple[str, str | None, dict]:
    """Return the config, the name of the published weights, and the options that these need."""
    from .utils.arguments import parsed

    models = _models()
    known = name.removeprefix(PREFIX).removesuffix('.py') if name.startswith(PREFIX) else name
    if known not in models:
        is_path = name.startswith(PREFIX) or name.endswith('.py') or len(Path(name).parts) > 1
        return (name if is_path else f'{PREFIX}{name}.py'), None, {}
    entry = models[known]
    needed = parsed(str((entry.get('Metadata') or {}).get('Options', '')).split())
    return PREFIX + entry['Config'].removeprefix(FOLDER), known if 'Weights' in entry else None, needed
