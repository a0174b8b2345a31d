"""Describe a run in its checkpoints, and say how the settings of two runs differ."""

import math
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmengine.runner import Runner

from mmtsf.utils.text import without_any_secrets

from .bare_model import bare_model

#: Keys of a config in which a run and its continuation may differ without a word
OWN = ('experiment_name', 'launcher', 'load_from', 'model_wrapper_cfg', 'new_data', 'resume', 'work_dir')
UNSET = 'not set'


@dataclass(frozen=True)
class RunRecord:
    """What a checkpoint tells of its run; None is what it does not tell, as those of version 0.1.

    Args:
        id (str): Name of the run, the same in all its checkpoints.
        batch (list[int]): Processes, and videos of each in an iteration.
        epoch_length (int): Iterations of an epoch.
        videos (int): Videos of the training set.
        digest (str): Of their paths and labels.
        parameters (list[str]): Names of the parameters in the order in which the optimizer counts them.
        states (int): Parameters of which the optimizer has a state.
        settings (dict): The config, in plain values.
    """

    id: str | None = None
    batch: list[int] | None = None
    epoch_length: int | None = None
    videos: int | None = None
    digest: str | None = None
    parameters: list[str] | None = None
    states: int | None = None
    settings: dict | None = None

    @classmethod
    def of(cls, runner: Runner) -> 'RunRecord':
        """Describe the run of a runner that trains."""
        loader, optimizer = runner.train_dataloader, getattr(runner.optim_wrapper, 'optimizer', None)
        return cls(
            id=getattr(runner, 'run_id', None),
            batch=[runner.world_size, loader.batch_size],
            epoch_length=len(loader),
            videos=len(loader.dataset),
            digest=getattr(loader.dataset, 'digest', None),
            parameters=names_of(runner) if optimizer else None,
            states=len(optimizer.state) if optimizer else None,
            settings=plain_settings(runner.cfg.to_dict()),
        )

    @classmethod
    def parse(cls, meta: dict) -> 'RunRecord':
        """Read the record of a checkpoint's ``meta``.

        Raises:
            ValueError: If it is not one that a run has written.
        """
        told = meta.get('run', dict(batch=meta.get('batch')))
        fits = dict(
            id=is_text,
            batch=lambda value: isinstance(value, (list, tuple)) and len(value) == 2 and all(map(is_count, value)),
            epoch_length=is_count,
            videos=is_count,
            digest=is_text,
            parameters=lambda value: isinstance(value, list) and all(map(is_text, value)),
            states=lambda value: is_count(value, 0),
            settings=lambda value: isinstance(value, dict),
        )
        for name in fits if isinstance(told, dict) else ('run',):
            value = told.get(name) if isinstance(told, dict) else told
            if name == 'run' or (value is not None and not fits[name](value)):
                raise ValueError(
                    f'cannot resume: {name} is {reprlib.repr(value)} in the checkpoint; no run writes that'
                )
        return cls(**{name: told.get(name) for name in fits})


def differences(before: dict | None, now: dict) -> Iterator[str]:
    """What two configs say differently, a line for each key; nothing where the first is not known."""
    if before is None:
        return
    shown = (plain_settings(values) for values in (before, now))
    was, is_now = (dict(flat({k: v for k, v in values.items() if k not in OWN})) for values in shown)
    for key in sorted(was.keys() | is_now.keys()):
        if was.get(key, UNSET) != is_now.get(key, UNSET):
            old, new = (_shown(values.get(key, UNSET)) for values in (was, is_now))
            yield f'{_shown(key)} is {new}, and was {old} in the checkpoint'


def _shown(value: Any) -> str:
    """A value for a line of a log, whatever a file has in its place."""
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) <= 300 else f'{text[:300]}...'


def names_of(runner: Runner) -> list[str]:
    """Names of the parameters in the order in which the optimizer counts them."""
    names: dict[Any, str] = {
        parameter: name if parameter.requires_grad else f'{name} (frozen)'
        for name, parameter in bare_model(runner).named_parameters()
    }
    return [names.get(p, '') for group in runner.optim_wrapper.optimizer.param_groups for p in group['params']]


def plain_settings(value: Any) -> Any:
    """A config's value as dicts, lists, numbers and texts, without secrets in addresses."""
    if isinstance(value, dict):
        return {str(key): plain_settings(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_settings(item) for item in value]
    plain = value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)
    return without_any_secrets(plain)


def flat(value: Any, name: str = '') -> Iterator[tuple[str, Any]]:
    """Dotted names and values; a list is one value."""
    if not isinstance(value, dict):
        yield name, value
        return
    for key, item in value.items():
        yield from flat(item, f'{name}.{key}' if name else str(key))


def is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) < 1000


def is_count(value: Any, least: int = 1) -> bool:
    return type(value) is int and value >= least


def is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
