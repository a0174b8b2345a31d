"""Whether a layer may be computed in another way than by calling it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.overrides import has_torch_function

from mmtsf import compat

TENSORS = (Tensor, nn.Parameter)
#: What these classes do, as long as nobody has put something else in its place
FORWARDS: dict[type[nn.Module], Callable] = {
    kind: kind.forward for kind in (nn.GELU, nn.LayerNorm, nn.Linear, nn.Sequential)
}


def is_plain(x: Tensor, *modules: nn.Module) -> bool:
    """Whether calling modules does nothing but what their classes say, so that other code may stand in for them.

    It is not so with hooks, of the modules or of all modules; with a ``forward`` of its own, as accelerate gives; with
    weights that are no plain tensors; and while something looks at what PyTorch computes: compilers, tracers, the
    transforms of ``torch.func``, forward-mode derivatives, modes such as FLOP counters, and subclasses of tensors.

    Args:
        x (Tensor): What the first of them is given.
        modules (nn.Module): The modules, without what is inside them. Their class is up to the caller.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or compat.is_transformed() or compat.is_dispatched():
        return False
    if type(x) not in TENSORS or x.is_meta or has_torch_function((x,)):
        return False
    return is_untouched(*modules)


def is_untouched(*modules: nn.Module) -> bool:
    """Whether it is so as far as the modules themselves say, whoever looks at what PyTorch computes."""
    return not compat.has_global_hooks() and all(map(_is_untouched, modules))


def normalises_tokens(module: nn.Module) -> bool:
    """Whether a module, if it is a LayerNorm, is one of each token by itself."""
    return type(module) is not nn.LayerNorm or len(module.normalized_shape) == 1


def _is_untouched(module: nn.Module) -> bool:
    kind = type(module)
    return not (
        compat.has_hooks(module)
        or 'forward' in vars(module)
        or kind.forward is not FORWARDS.get(kind, kind.forward)
        or any(type(getattr(module, name, None)) not in (*TENSORS, type(None)) for name in ('weight', 'bias'))
    )
