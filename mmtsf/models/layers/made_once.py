"""Make small tensors once, and not in every forward pass."""

from collections.abc import Callable
from functools import lru_cache, wraps

import torch
from torch import Tensor

from mmtsf import compat


def made_once(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Decorate a function whose tensor depends on its arguments alone, and is not changed: the last ones are kept.

    Compiled and traced code makes them where they are used, and a mode that looks at operations may give tensors of
    another kind: these are not kept.
    """
    kept = lru_cache(maxsize=64)(make)

    @wraps(make)
    def made(*arguments: object) -> Tensor:
        if torch.compiler.is_compiling() or torch.jit.is_tracing() or compat.is_dispatched():
            return make(*arguments)
        with torch.inference_mode(False):
            return kept(*arguments)

    return made
