"""Register what configs can name: children of MMAction2's registries, which are children of MMEngine's.

A config with ``default_scope = 'mmtsf'`` therefore finds the names of all three, nearest first.
"""

from typing import Any

import mmengine.registry
from mmaction import registry as mmaction

from .compat import without_mmcv_warning
from .config.references import refuse_references
from .utils.imports import register_optimizers
from .utils.screen import quieten_commands

quieten_commands()


class Registry(mmengine.registry.Registry):
    """MMEngine's registry, which imports its own modules at the first look-up, and here those of its parent, too; it
    builds nothing of references that were not resolved.

    Takes the arguments of :class:`mmengine.registry.Registry`.
    """

    def build(self, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        """MMEngine's.

        Raises:
            ValueError: If the config holds references.
        """
        refuse_references(cfg, str(cfg.get('type', self.name)) if isinstance(cfg, dict) else self.name)
        return super().build(cfg, *args, **kwargs)

    def import_from_location(self) -> None:
        """Import the modules whose names a config can have."""
        with without_mmcv_warning():
            super().import_from_location()
            self.parent.import_from_location()


class OptimizerRegistry(Registry):
    """One that registers the optimizers of other packages when a config names what is not known without them.

    Takes the arguments of :class:`mmengine.registry.Registry`.
    """

    def get(self, key: str) -> Any:
        """MMEngine's."""
        if (found := super().get(key)) is None:
            register_optimizers()
            found = super().get(key)
        return found


def _child(name: str, *locations: str, kind: type[Registry] = Registry) -> Registry:
    parent = getattr(mmaction, name)
    return kind(parent.name, parent=parent, scope='mmtsf', locations=list(locations))


MODELS = _child('MODELS', 'mmtsf.models')
DATASETS = _child('DATASETS', 'mmtsf.datasets')
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'mmtsf.datasets')
TRANSFORMS = _child('TRANSFORMS', 'mmtsf.datasets')
METRICS = _child('METRICS', 'mmtsf.evaluation')
HOOKS = _child('HOOKS', 'mmtsf.engine.hooks')
LOOPS = _child('LOOPS', 'mmtsf.engine.runner')
RUNNERS = _child('RUNNERS', 'mmtsf.engine.runner')
OPTIMIZERS = _child('OPTIMIZERS', 'mmtsf.engine.optimizers', kind=OptimizerRegistry)
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS', 'mmtsf.engine.optimizers')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS', 'mmtsf.engine.optimizers')
VISBACKENDS = _child('VISBACKENDS', 'mmtsf.visualization.tracking')
VISUALIZERS = _child('VISUALIZERS', 'mmtsf.visualization.tracking')

# nothing of ours yet; without a child the scope would lead MMEngine past MMAction2's
EVALUATORS = _child('EVALUATOR')
INFERENCERS = _child('INFERENCERS')
LOG_PROCESSORS = _child('LOG_PROCESSORS')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS')
RUNNER_CONSTRUCTORS = _child('RUNNER_CONSTRUCTORS')
TASK_UTILS = _child('TASK_UTILS')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS', 'mmtsf.weights')
