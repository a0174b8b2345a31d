"""Check before the first trial what a training would refuse, as far as its config tells."""

import copy
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import Registry, init_default_scope

from mmtsf import registry
from mmtsf.engine.hooks.checkpoint import names_of
from mmtsf.engine.runner.batch import set_batch
from mmtsf.engine.runner.precision import set_precision
from mmtsf.registry import DATASETS, METRICS, MODELS
from mmtsf.visualization.tracking.run_visualizer import PACKAGES, names_of_trackers

#: Errors of what a config names wrongly
MISTAKES = (KeyError, TypeError, ValueError, OSError, ImportError)


def check_trial(config: Config, known: set[str], reads_data: bool, metric: str | None, alone: bool) -> None:
    """Refuse the config of a trial whose training would fail.

    Args:
        config (Config): Resolved.
        known (set[str]): Types that the config has without the words of the search.
        reads_data (bool): Whether its data sets are built.
        metric (str, optional): Score of a validation; None is its first.
        alone (bool): Whether it is trained by one process, which reaches its global batch otherwise than several.

    Raises:
        OSError: If data are missing.
        ValueError: If it cannot be trained or validated; other errors are those of what is built.
    """
    init_default_scope(config.get('default_scope') or 'mmtsf')
    tables = [table for table in vars(registry).values() if isinstance(table, Registry)]
    tables.sort(key=lambda table: table is registry.OPTIMIZERS)  # last: it imports packages for what it does not know
    for kind in sorted(set(types_in(config.to_dict())) - known):
        if not any(table.get(kind) for table in tables):
            raise ValueError(f'there is nothing of type {kind!r}')
    _check_validation(config, metric)
    _check_trackers(config)
    scratch = copy.deepcopy(config)
    if alone:
        set_batch(scratch)
    set_precision(scratch)
    build_model(config)
    for loader in (config.get('train_dataloader'), config.get('val_dataloader')) if reads_data else ():
        DATASETS.build(copy.deepcopy(loader['dataset']))


def types_in(values: Any) -> Iterator[str]:
    """Yield what a config's parts have as their types, in words."""
    if isinstance(values, dict):
        if isinstance(values.get('type'), str):
            yield values['type']
        values = list(values.values())
    for value in values if isinstance(values, (list, tuple)) else ():
        yield from types_in(value)


def build_model(config: Config) -> None:
    """Build a model without memory; one that cannot be built so is right."""
    with torch.device('meta'):
        try:
            MODELS.build(copy.deepcopy(config.model))
        except (NotImplementedError, RuntimeError):  # it computes with its weights
            return


def builds(config: Config) -> bool:
    """Return whether the model takes the arguments that it is given."""
    init_default_scope(config.get('default_scope') or 'mmtsf')
    try:
        build_model(config)
    except TypeError:
        return False
    return True


def _check_validation(config: Config, metric: str | None) -> None:
    """Refuse a training without a validation, or one that does not give the metric; the last epoch is validated."""
    train = config.get('train_cfg') or {}
    epochs, first = train.get('max_epochs'), train.get('val_begin', 1)
    if not config.get('val_dataloader') or (isinstance(epochs, int) and first > epochs):
        raise ValueError(
            f'nothing would be validated: max_epochs is {epochs}, train_cfg.val_begin {first}, and a search needs the '
            'score of a validation'
        )
    evaluator = config.get('val_evaluator') or []
    asked = evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]
    given = names_of(METRICS.build(copy.deepcopy(one)) for one in asked)
    if metric and given and metric not in given:
        raise ValueError(f'--metric is {metric}, which no validation gives; expected one of {", ".join(given)}')


def _check_trackers(config: Config) -> None:
    visualizer = config.get('visualizer') or {}
    if visualizer.get('type') not in ('RunVisualizer', 'mmtsf.RunVisualizer'):
        return
    logs = visualizer.get('logs', {})
    for name in names_of_trackers(visualizer.get('log_to', 'files'), logs):
        package = PACKAGES.get(str(logs[name]['type']))
        if package and find_spec(package) is None:
            raise ValueError(f"log_to={name} needs {package}, and that is not installed; pip install 'mmtsf[{name}]'")
