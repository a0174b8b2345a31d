"""Registries of mmtsf: children of MMAction2's, which are children of MMEngine's.

A config with ``default_scope = 'mmtsf'`` therefore finds the names of all three, nearest first.
"""

from mmaction import registry as mmaction
from mmengine.registry import Registry


def _child(name: str, *locations: str) -> Registry:
    parent = getattr(mmaction, name)
    # a registry imports its own modules at the first look-up, but not its parent's
    return Registry(parent.name, parent=parent, scope='mmtsf', locations=[*parent._locations, *locations])


MODELS = _child('MODELS', 'mmtsf.models')
DATASETS = _child('DATASETS', 'mmtsf.datasets')
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'mmtsf.datasets')
TRANSFORMS = _child('TRANSFORMS', 'mmtsf.datasets')
METRICS = _child('METRICS', 'mmtsf.evaluation')
HOOKS = _child('HOOKS', 'mmtsf.engine.hooks')
LOOPS = _child('LOOPS', 'mmtsf.engine.runner')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS', 'mmtsf.engine.optimizers')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS', 'mmtsf.engine.optimizers')

# nothing of ours yet; without a child the scope would lead MMEngine past MMAction2's
EVALUATORS = _child('EVALUATOR')
INFERENCERS = _child('INFERENCERS')
LOG_PROCESSORS = _child('LOG_PROCESSORS')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS')
OPTIMIZERS = _child('OPTIMIZERS')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS')
RUNNERS = _child('RUNNERS')
RUNNER_CONSTRUCTORS = _child('RUNNER_CONSTRUCTORS')
TASK_UTILS = _child('TASK_UTILS')
VISBACKENDS = _child('VISBACKENDS')
VISUALIZERS = _child('VISUALIZERS')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS')
