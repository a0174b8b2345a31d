"""Modules one after the other, in less memory and time where they are plain."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .linear import Repeat, linear
from .plain import FORWARDS, has_products, is_plain, is_untouched, normalises_tokens

#: Modules so cheap that the backward pass repeats them. Others say so of themselves, if they have no weights: with
#: ``is_cheap = True`` in the class
CHEAP = (nn.GELU, nn.LayerNorm)
#: Tokens at a time in inference on a CPU: what lies between two linear layers stays in the caches
ROWS = 1024
_NONE = nn.Identity()


def through(x: Tensor, *modules: nn.Module | None) -> Tensor:
    """``nn.Sequential(*modules)(x)``: the same values and gradients. Plain modules (:func:`is_plain`) save:

    - a linear layer does not keep the norm or activation that it is given: the backward pass computes it again;
    - two linear layers with nothing between them but drop path are one product;
    - in inference on CPUs a few tokens at a time go through two linear layers with an activation;
    - on CPUs products are oneDNN's, see :func:`linear`;
    - of a layer with an adapter (:func:`has_products`) all of this is true, but for the merging of two layers.

    Args:
        x (Tensor): ``(..., C)``.
        modules (nn.Module, optional): Any modules; an ``nn.Sequential`` stands for what is in it, None for nothing.
    """
    chain = list(_flat(x, modules))
    end = 0 if torch.is_grad_enabled() or x.device.type != 'cpu' else _hidden_layer(x, chain)
    if end and x.shape[:-1].numel() > ROWS:
        rows = [through(part, *chain[:end]) for part in x.reshape(-1, x.shape[-1]).split(ROWS)]
        x, chain = torch.cat(rows).view(*x.shape[:-1], -1), chain[end:]
    again = None
    while chain:
        first, second, third = (*chain, _NONE, _NONE)[:3]
        if _is_linear(first, x) and _scales_rows(second) and _is_linear(third, x) and is_plain(x, second):
            x, again, done = _one_product(x, first, second, third), None, 3
        elif _is_linear(first, x):
            x, again, done = linear(x, first.weight, first.bias, again), None, 1
        elif has_products(first) and is_plain(x, *first.modules()):
            x, again, done = first.by_products(x, again), None, 1  # type: ignore[operator]
        else:
            (x, again), done = _called(first, x), 1
        chain = chain[done:]
    return x


def project(x: Tensor, first: nn.Module, factor: Tensor | None, second: nn.Module | None) -> Tensor:
    """``second(factor * first(x))``, as one product where both are plain linear layers.

    Args:
        x (Tensor): ``(B, N, C)``.
        first (nn.Module): The first layer.
        factor (Tensor, optional): Of each row, ``(B, N, 1)``. None for 1.
        second (nn.Module, optional): The second layer. None for none.
    """

    def scaled(y: Tensor) -> Tensor:
        return y if factor is None else (y * factor).to(y.dtype)

    if second is None:
        return scaled(through(x, first))
    is_compiling = torch.compiler.is_compiling()
    is_usual = is_untouched(first, second) if is_compiling else is_plain(x, first, second)
    if type(first) is nn.Linear and type(second) is nn.Linear and is_usual:
        return _one_product(x, first, scaled, second)
    return through(scaled(through(x, first)), second)


def _flat(x: Tensor, modules: Sequence[nn.Module | None]) -> Iterator[nn.Module]:
    for module in (one for one in modules if one is not None):
        is_usual = type(module).forward is FORWARDS[nn.Sequential]
        if isinstance(module, nn.Sequential) and is_usual and is_plain(x, module):
            yield from _flat(x, tuple(module))  # not its children, of which one that stands there twice is one
        else:
            yield module


def _hidden_layer(x: Tensor, chain: list[nn.Module]) -> int:
    """Number of the first modules that are two linear layers and what stands before and between them; or 0."""
    layers = [number for number, module in enumerate(chain) if type(module) is nn.Linear][:2]
    part = chain[: layers[-1] + 1] if len(layers) == 2 else []
    per_token = all(normalises_tokens(module) and (type(module) is nn.Linear or _is_cheap(module)) for module in part)
    return len(part) if per_token and is_plain(x, *part) else 0


def _called(module: nn.Module, x: Tensor) -> tuple[Tensor, Repeat | None]:
    """What a module gives, and how the backward pass gets it again, if that is cheap."""
    y = module(x)
    is_repeated = _is_cheap(module) and is_plain(x, module) and y.requires_grad
    return y, _again(module, x) if is_repeated else None


def _again(module: nn.Module, x: Tensor) -> Repeat:
    """What a cheap module computes, with the weights and settings that it has now."""
    if type(module) is nn.LayerNorm:
        shape, eps = module.normalized_shape, module.eps

        def norm(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
            return F.layer_norm(x, shape, weight, bias, eps)

        return Repeat(norm, x, module.weight, module.bias)
    if type(module) is nn.GELU:
        approximate = module.approximate
        return Repeat(lambda x: F.gelu(x, approximate=approximate), x)
    return Repeat(partial(type(module).forward, module), x)


def _one_product(x: Tensor, first: nn.Linear, between: Callable[[Tensor], Tensor], second: nn.Linear) -> Tensor:
    """``second(between(first(x)))``, where what is between only scales whole rows of the batch."""
    weight = second.weight @ first.weight
    bias = None if first.bias is None else second.weight @ first.bias
    y = between(linear(x, weight, bias))
    return y if second.bias is None else y + second.bias


def _is_linear(module: nn.Module, x: Tensor) -> TypeGuard[nn.Linear]:
    return type(module) is nn.Linear and is_plain(x, module)


def _is_cheap(module: nn.Module) -> bool:
    return type(module) in CHEAP or 'is_cheap' in vars(type(module))


def _scales_rows(module: nn.Module) -> bool:
    return 'scales_rows' in vars(type(module))
