#!/usr/bin/env python
"""Time the attention kernels that mmtsf/models/kernels/attend.py chooses from: python benchmarks/attention.py

Groups, heads and length as the schemes have them at 8 x 224, 16 x 448 and 96 x 224; milliseconds, medians of 7
interleaved rounds. On a CPU one clip, forward alone and with backward; on a GPU (--device cuda) batches that fill it,
in bfloat16, forward and backward, by each of PyTorch's backends and by ours.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from timing import medians
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmtsf.models.kernels.attend import _Products, _weights, attend

Kernel = Callable[..., Tensor]
#: From packed queries, keys and values ``(N, L, 3, heads, c)``
PackedKernel = Callable[[Tensor], Tensor]
ROUNDS = 7
#: Calls that are timed together on a GPU: launching one takes as long as the shortest kernel
CALLS = 10
#: (groups, heads, length) of one clip
SHAPES = {
    'space': (8, 12, 197),
    'time': (196, 12, 8),
    'joint': (1, 12, 1569),
    'space of HR': (16, 12, 785),
    'time of L': (196, 12, 96),
}
#: The same of 32 clips of base and 4 of HR and L
GPU_SHAPES = {
    'time: 6272 x 8': (6272, 12, 8),
    'space: 256 x 197': (256, 12, 197),
    'time of L: 784 x 96': (784, 12, 96),
    'space of HR: 64 x 785': (64, 12, 785),
    'joint: 32 x 1569': (32, 12, 1569),
    'rows of axial: 3584 x 14': (3584, 12, 14),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--tiny', action='store_true', help="a GPU's table on the CPU at toy sizes, to try the script")
    args = parser.parse_args()
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda needs a GPU, and there is none; --tiny tries its table without')
    return args


def at_once(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute attention by batched products that keep the whole score matrix for the backward pass."""
    return _weights(q, k.transpose(-2, -1)) @ v


def separate(kernel: Kernel, qkv: Tensor) -> Tensor:
    """Compute attention by a kernel that takes queries, keys and values ``(N, heads, L, c)``."""
    return kernel(*qkv.permute(2, 0, 3, 1, 4))


def by_backend(backend: SDPBackend, qkv: Tensor) -> Tensor:
    """Compute attention by one of PyTorch's kernels, or raise if it does not take the shape."""
    with sdpa_kernel(backend):
        return separate(F.scaled_dot_product_attention, qkv)


KERNELS = {'fused': F.scaled_dot_product_attention, 'products': at_once, 'products in parts': _Products.apply}
#: Ours for short groups, whose members it reads where they lie
IN_PLACE = 'ours, in place'
#: On a GPU; one more kernel is one more entry. Each gives ``(N, heads, L, c)``, or raises where it takes no such shape
GPU_KERNELS: dict[str, PackedKernel] = {
    'ours': partial(separate, attend),
    'default': partial(separate, F.scaled_dot_product_attention),
    'flash': partial(by_backend, SDPBackend.FLASH_ATTENTION),
    'cuDNN': partial(by_backend, SDPBackend.CUDNN_ATTENTION),
    'efficient': partial(by_backend, SDPBackend.EFFICIENT_ATTENTION),
    'math': partial(by_backend, SDPBackend.MATH),
}


def in_place(tokens: Tensor, length: int, heads: int) -> Tensor:
    """Compute attention where tokens ``(1, 1 + N*L, 3*heads*c)`` lie, of which the first one is in no group."""
    from mmtsf.models.kernels.in_place import attend_in_place, attends_in_place

    if not attends_in_place(tokens, length, tokens.shape[2] // 3 // heads):
        raise RuntimeError('no tile for it')
    rows = torch.arange(1, tokens.shape[1], dtype=torch.int32, device=tokens.device).view(-1, length)
    return attend_in_place(tokens, rows, None, heads)


def with_first_token(qkv: Tensor) -> Tensor:
    """Lay packed queries, keys and values out as :func:`in_place` takes them."""
    tokens = qkv.detach().flatten(0, 1).flatten(1)
    return torch.cat([torch.zeros_like(tokens[:1]), tokens])[None].requires_grad_()


def learns(kernel: PackedKernel, qkv: Tensor) -> None:
    mixed = kernel(qkv)
    mixed.backward(torch.ones_like(mixed))
    qkv.grad = None


def print_row(*cells: object) -> None:
    print(f'| {" | ".join(map(str, cells))} |', flush=True)


def on_cpu() -> None:
    """Print the table of one clip on a CPU."""
    print(f'{torch.get_num_threads()} threads, torch {torch.__version__}; ms')
    print_row('', 'dtype', *KERNELS, *(f'{name}, with backward' for name in KERNELS))
    print(f'|{"---|" * (2 * len(KERNELS) + 2)}')
    for name, (groups, heads, length) in SHAPES.items():
        for dtype in (torch.float32, torch.bfloat16):
            qkv = torch.randn(groups, length, 3, heads, 64, dtype=dtype)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            with torch.no_grad():
                forward = medians({key: partial(kernel, q, k, v) for key, kernel in KERNELS.items()}, ROUNDS)
            qkv.requires_grad_()
            both = medians(
                {key: partial(learns, partial(separate, kernel), qkv) for key, kernel in KERNELS.items()}, ROUNDS
            )
            figures = (f'{1e3 * value:.1f}' for value in (*forward.values(), *both.values()))
            print_row(name, str(dtype)[6:], *figures)


def usable(qkv: Tensor) -> dict[str, Callable[[], None]]:
    """Return a forward and backward pass of each kernel that takes a shape and gives what float32 does."""
    _, length, _, heads, _ = qkv.shape
    with torch.no_grad():
        expected = separate(at_once, qkv.float())
    kernels: dict = {name: (kernel, qkv) for name, kernel in GPU_KERNELS.items()}
    kernels[IN_PLACE] = partial(in_place, length=length, heads=heads), with_first_token(qkv)
    passes = {}
    for name, (kernel, operands) in kernels.items():
        try:
            learns(kernel, operands)
            mixed = kernel(operands).detach()
        except Exception as error:  # PyTorch has no such kernel for the shape, or it does not fit in memory
            print(f'{name}, {tuple(qkv.shape)}: {(str(error).splitlines() or [""])[0]}', file=sys.stderr)
            continue
        if name == IN_PLACE:
            mixed = mixed[0, 1:].view(*qkv.shape[:2], heads, -1).transpose(1, 2)
        apart = float((mixed.float() - expected).abs().max() / expected.abs().max())
        if not apart < 0.02:
            raise RuntimeError(f'{name} is {apart:.1e} of the largest apart from float32')
        passes[name] = partial(learns, kernel, operands)
    return passes


def on_gpu(device: str, is_tiny: bool) -> None:
    """Print the table of a GPU: forward and backward in bfloat16 from packed queries, keys and values."""
    print(f'{torch.cuda.get_device_name() if device == "cuda" else "CPU"}, torch {torch.__version__}; ms\n')
    names = [*GPU_KERNELS, IN_PLACE]
    print_row('forward + backward', *names)
    print(f'|{"---|" * (len(names) + 1)}')
    for name, (groups, heads, length) in GPU_SHAPES.items():
        if is_tiny:
            groups, heads, length = 2, 2, min(length, 24)
        qkv = torch.randn(groups, length, 3, heads, 64, device=device, dtype=torch.bfloat16, requires_grad=True)
        seconds = medians(usable(qkv), 1 if is_tiny else ROUNDS, CALLS)
        print_row(name, *(f'{1e3 * seconds[key]:.2f}' if key in seconds else '' for key in names))


def main() -> None:
    args = parse_args()
    if args.device == 'cuda' or args.tiny:
        on_gpu(args.device, args.tiny)
    else:
        on_cpu()


if __name__ == '__main__':
    main()
