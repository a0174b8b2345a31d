"""Whether a layer may be computed in another way than by calling it."""

import inspect
from collections.abc import Callable
from types import BuiltinFunctionType

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import has_torch_function

from mmtsf import compat

TENSORS = (Tensor, nn.Parameter)


def _is_of_pytorch(kind: type[nn.Module]) -> bool:
    """Whether ``forward`` stands in the file of its class: somebody may have replaced it before this is imported."""
    code = getattr(kind.forward, '__code__', None)
    return code is not None and code.co_filename == inspect.getfile(kind)


#: What these classes do, as long as nobody has put something else in its place
FORWARDS: dict[type[nn.Module], Callable | None] = {
    kind: kind.forward if _is_of_pytorch(kind) else None for kind in (nn.GELU, nn.LayerNorm, nn.Linear, nn.Sequential)
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
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or compat.is_transformed(x) or compat.is_dispatched():
        return False
    if type(x) not in TENSORS or x.is_meta or has_torch_function((x,)):
        return False
    if not isinstance(F.linear, BuiltinFunctionType) or not isinstance(
        F.scaled_dot_product_attention, BuiltinFunctionType
    ):
        return False  # somebody looks at its calls
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
        or (kind in FORWARDS and compat.is_compiled(module))  # which is called; a block is called in any case
        or 'forward' in vars(module)
        or kind.forward is not FORWARDS.get(kind, kind.forward)
        or (not has_products(module) and (_is_special(module, 'weight') or _is_special(module, 'bias')))
    )


def has_products(module: nn.Module) -> bool:
    """Whether a layer, as one with an adapter, says itself how products of ours compute it: ``by_products(x, again)``;
    its ``is_affine`` tells whether it does so row by row and drops nothing."""
    return hasattr(type(module), 'by_products')


def is_affine(module: nn.Module) -> bool:
    """Whether a layer commutes with means of rows."""
    return type(module) is nn.Linear or (has_products(module) and bool(module.is_affine))


def _is_special(module: nn.Module, name: str) -> bool:
    """Whether an attribute is computed, as a parametrised one is, or is no plain tensor."""
    return hasattr(type(module), name) or type(getattr(module, name, None)) not in (*TENSORS, type(None))
