"""Find the device that is named, or the best there is."""

import re
from typing import Any


def find_device(device: Any = None) -> Any:
    """Return a device of this machine.

    Args:
        device (str | int | torch.device, optional): ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ``'mps'``, or the number of a
            GPU. Defaults to None: the GPU if there is one that works, else the CPU.

    Raises:
        ValueError: If there is none of that name; it says which there are.

    Returns:
        torch.device: The device.
    """
    import torch

    there = _devices()
    if device is None:
        best = torch.device(there[-1].type)  # without a number: that of this process, among several
        return best if best.type == 'cpu' or _works(best) else torch.device('cpu')
    name = there[-1].type + f':{device}' if type(device) is int and len(there) > 1 else str(device).strip()
    names = [str(one) for one in there]
    name = 'cpu' if name == 'cpu:0' else name
    if name in names or name in {one.type for one in there}:
        return torch.device(name)
    shown = ', '.join(names)
    reason = ''
    if re.match('cuda|gpu', name.lower()) and not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        reason = '; PyTorch finds no GPU' if built else '; this PyTorch is built for the CPU alone'
    raise ValueError(f'device is {device!r}, but there is {shown} here{reason}; leave it out to take the best')


def _devices() -> list[Any]:
    """Return all devices: the CPU, then those of an accelerator in their order."""
    import torch

    kind = torch.accelerator.current_accelerator(check_available=True)
    if kind is None:
        return [torch.device('cpu')]
    number = torch.accelerator.device_count()
    return [torch.device('cpu'), *(torch.device(kind.type, index) for index in range(number))]


def _works(device: Any) -> bool:
    """Return whether a GPU computes; an old one that this PyTorch has no code for is found, but does not."""
    import torch

    try:
        ones = torch.ones(2, 2, device=device)
        return bool((ones @ ones == 2).all())
    except (RuntimeError, NotImplementedError, AssertionError):
        return False
