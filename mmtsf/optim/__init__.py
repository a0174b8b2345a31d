from .bf16_optim_wrapper import Bf16OptimWrapper
from .finite_updates import AmpOptimWrapper, OptimWrapper

__all__ = ['AmpOptimWrapper', 'Bf16OptimWrapper', 'OptimWrapper']
