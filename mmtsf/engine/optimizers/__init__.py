from .bf16_optim_wrapper import Bf16OptimWrapper
from .finite_updates import AmpOptimWrapper, OptimWrapper
from .layer_decay import LayerDecayConstructor

__all__ = ['AmpOptimWrapper', 'Bf16OptimWrapper', 'LayerDecayConstructor', 'OptimWrapper']
