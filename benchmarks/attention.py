#!/usr/bin/env python
"""Time the CPU attention kernels that mmtsf/models/kernels/attend.py chooses from: python benchmarks/attention.py

Groups, heads and length as the schemes have them at 8 x 224, 16 x 448 and 96 x 224; milliseconds, medians of 7
interleaved rounds.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from timing import medians
from torch import Tensor

from mmtsf.models.kernels.attend import _Products, _weights

ROUNDS = 7
#: (groups, heads, length)
SHAPES = {
    'space': (8, 12, 197),
    'time': (196, 12, 8),
    'joint': (1, 12, 1569),
    'space of HR': (16, 12, 785),
    'time of L': (196, 12, 96),
}


def at_once(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute attention by batched products that keep the whole score matrix for the backward pass."""
    return _weights(q, k.transpose(-2, -1)) @ v


KERNELS = {'fused': F.scaled_dot_product_attention, 'products': at_once, 'products in parts': _Products.apply}


def learns(kernel: Callable[..., Tensor], qkv: Tensor) -> None:
    mixed = kernel(*qkv.permute(2, 0, 3, 1, 4))
    mixed.backward(torch.ones_like(mixed))
    qkv.grad = None


def main() -> None:
    print(f'{torch.get_num_threads()} threads, torch {torch.__version__}; ms')
    print(f'| | dtype | {" | ".join([*KERNELS, *(f"{name}, with backward" for name in KERNELS)])} |')
    print(f'|{"---|" * (2 * len(KERNELS) + 2)}')
    for name, (groups, heads, length) in SHAPES.items():
        for dtype in (torch.float32, torch.bfloat16):
            qkv = torch.randn(groups, length, 3, heads, 64, dtype=dtype)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            with torch.no_grad():
                forward = medians({key: partial(kernel, q, k, v) for key, kernel in KERNELS.items()}, ROUNDS)
            qkv.requires_grad_()
            both = medians({key: partial(learns, kernel, qkv) for key, kernel in KERNELS.items()}, ROUNDS)
            figures = ' | '.join(f'{1e3 * value:.1f}' for value in (*forward.values(), *both.values()))
            print(f'| {name} | {str(dtype)[6:]} | {figures} |', flush=True)


if __name__ == '__main__':
    main()
