"""TimeSformer as an MMAction2-style codebase: the paper's five attention schemes and three variants."""

import warnings

__version__ = '0.1.0'

with warnings.catch_warnings():
    # mmcv-lite has no compiled operators, and says so on import; nothing here uses them
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
    import mmcv.cnn.bricks.transformer  # noqa: F401

from . import registry, weights  # noqa: E402, F401  # from here on checkpoints are read without executing anything
from .config import shipped  # noqa: E402

shipped.extend_mmengine()
