"""Share out weights, gradients and optimizer states among the processes, by PyTorch's FSDP2."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist
from mmengine.dist import is_main_process
from mmengine.utils import apply_to
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import SGD, Optimizer


def shard(model: Any, optimizer: Optimizer) -> None:
    """Share out a recognizer block by block, and its optimizer with the states that it has.

    Args:
        model (nn.Module): Recognizer with a :class:`TimeSformer` backbone, the same in all processes.
        optimizer (Optimizer): Over its parameters.
    """
    names: dict[Any, str] = {parameter: name for name, parameter in model.named_parameters()}
    mesh = init_device_mesh(next(model.parameters()).device.type, (dist.get_world_size(),))
    model.backbone.ends_at_cls = model.backbone.can_end_at_cls()
    for block in model.backbone.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    shards: dict[str, Any] = dict(model.named_parameters())
    for group in optimizer.param_groups:
        group['params'] = [shards[names[parameter]] for parameter in group['params']]
        if isinstance(optimizer, SGD):
            group['fused'] = False  # PyTorch has fused Adam and AdamW for shards, but no fused SGD
    for parameter in list(optimizer.state):
        part = shards[names[parameter]]
        state = optimizer.state.pop(parameter)
        optimizer.state[part] = {key: _shared_as(part, value) for key, value in state.items()}


def _shared_as(part: DTensor, value: Any) -> Any:
    """A state of the parameter's shape shared out as it is; counters stay whole."""
    if not isinstance(value, Tensor) or value.shape != part.shape:
        return value
    return distribute_tensor(value, part.device_mesh, part.placements)


@contextmanager
def whole_states(model: nn.Module, optimizer: Any) -> Iterator[None]:
    """Inside, which all processes must enter, model and optimizer have plain state dicts in the main process."""
    if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        yield
        return
    owners = (model, optimizer)
    wholes = [apply_to(owner.state_dict(), lambda x: isinstance(x, DTensor), _whole) for owner in owners]
    for owner, whole in zip(owners, wholes):
        owner.state_dict = lambda whole=whole: whole
    try:
        yield
    finally:
        for owner in owners:
            del owner.state_dict


def _whole(part: DTensor) -> Tensor:
    whole = part.full_tensor()
    return whole.cpu() if is_main_process() else whole.new_empty(0)
