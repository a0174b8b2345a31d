from .amp_optim_wrapper import AmpOptimWrapper, Bf16OptimWrapper
from .finite_updates import OptimWrapper
from .layer_decay import LayerDecayConstructor
from .low_memory import adamw_8bit

__all__ = ['AmpOptimWrapper', 'Bf16OptimWrapper', 'LayerDecayConstructor', 'OptimWrapper', 'adamw_8bit']
