"""Keep little for the backward pass of what is compiled."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from mmtsf import compat

from . import in_place  # noqa: F401  # defines an operation that is named below

aten = torch.ops.aten
#: What takes long, what is drawn, and the residual stream, from which norms are computed again
KEPT = {
    aten.mm.default,
    aten.addmm.default,
    aten.bmm.default,
    aten.baddbmm.default,
    aten.mv.default,
    aten.convolution.default,
    *compat.fused_attentions(),
    torch.ops.mmtsf.attend_in_place.default,
    aten.add.Tensor,
    aten.bernoulli.default,
    aten.bernoulli.p,
    aten.rand.default,
    aten.native_dropout.default,
}


def recomputing(forward: Callable) -> Callable:
    """Decorate a module's forward pass: compiled, it keeps products for the backward pass, and computes norms and
    activations again, as :func:`mmtsf.models.kernels.through.through` does where nothing is compiled."""

    @wraps(forward)
    def kept(self: Any, *arguments: Any) -> Any:
        if not torch.compiler.is_compiling() or torch.compiler.is_exporting() or not torch.is_grad_enabled():
            return forward(self, *arguments)
        return checkpoint(forward, self, *arguments, use_reentrant=False, context_fn=_contexts)

    return kept


def _contexts() -> Any:
    return create_selective_checkpoint_contexts(_policy)


def _policy(context: Any, operation: Any, *_: Any, **__: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if operation in KEPT else CheckpointPolicy.PREFER_RECOMPUTE
