#!/usr/bin/env python
"""Time a forward pass or a training step beside other implementations and the lower bound.

python benchmarks/model.py --scheme divided --dtype float32 bfloat16 --rounds 7

All run in one process, interleaved, batch 1; medians, as ratios to the floor: the matrix products of the linear layers
alone, each by the fastest of the libraries at hand, which the table names. Outputs are compared before
anything is timed.
"""

import argparse
import logging
import platform
from collections.abc import Callable
from contextlib import nullcontext

import torch
from implementations import BUILDERS, PEERS, SCHEMES, VARIANTS, Floor, available
from timing import medians
from torch import Tensor, nn

from mmtsf.deploy.fuse import fuse_backbone

#: How far logits may be apart, as a share of the largest
TOLERANCE = {'float32': 1e-4, 'bfloat16': 0.1, 'autocast': 0.1}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--scheme', nargs='+', choices=SCHEMES, default=['divided'])
    parser.add_argument('--variant', choices=VARIANTS, default='base')
    parser.add_argument('--dtype', nargs='+', choices=TOLERANCE, default=['float32'])
    parser.add_argument('--train', action='store_true', help='forward, backward and optimizer step')
    parser.add_argument('--compile', action='store_true', help='ours compiled, as one more row')
    parser.add_argument('--peers', nargs='*', choices=PEERS, default=list(PEERS))
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--threads', type=int)
    return parser.parse_args()


def runs(model: nn.Module, clips: Tensor, dtype: str, train: bool) -> Callable[[], Tensor | None]:
    """Return one pass as a function that returns the logits."""
    autocast = torch.autocast(clips.device.type, torch.bfloat16) if dtype == 'autocast' else nullcontext()
    if not train:

        @torch.no_grad()
        def forward() -> Tensor:
            with autocast:
                return model(clips)

        return forward
    labels = torch.zeros(len(clips), dtype=torch.long)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)

    def step() -> Tensor:
        with autocast:
            logits = model(clips)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        return logits.detach()

    return step


def candidates(scheme: str, dtype: str, args: argparse.Namespace) -> tuple[dict[str, Callable], Floor]:
    """Return everything to time, by name, and the floor."""
    num_frames, size = VARIANTS[args.variant]
    number = torch.bfloat16 if dtype == 'bfloat16' else torch.float32
    clips = torch.randn(1, 3, num_frames, size, size, dtype=number)
    functions: dict[str, Callable] = {}
    for name in ('ours', *args.peers):
        if not available(name, scheme, dtype):
            continue
        model = BUILDERS[name](scheme, num_frames, size).to(number)
        model.train(args.train)
        if name == 'ours' and not args.train:
            fuse_backbone(model.backbone)
        functions[name] = runs(model, clips, dtype, args.train)
        if name == 'ours' and args.compile:
            functions['ours, compiled'] = runs(torch.compile(model), clips, dtype, args.train)
    floor = Floor(scheme, num_frames, size, torch.float32 if dtype == 'float32' else torch.bfloat16, args.train)
    functions['floor'] = lambda: floor(clips)
    return functions, floor


def check(functions: dict[str, Callable], dtype: str) -> None:
    """Raise if outputs that should be the same are not."""
    expected = functions['ours']().float()
    for name, function in functions.items():
        if name in ('Hugging Face', 'MMAction2', 'ours, compiled'):
            apart = float((function().float() - expected).abs().max() / expected.abs().max())
            if not apart < TOLERANCE[dtype]:
                raise RuntimeError(f'{name} is {apart:.1e} of the largest logit apart from ours')


def main() -> None:
    args = parse_args()
    logging.disable(logging.INFO)
    if args.threads:
        torch.set_num_threads(args.threads)
    print(f'{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}')
    print(f'{args.variant}, {"forward + backward + step" if args.train else "forward"}, ratios to the floor\n')
    print(f'| scheme | dtype | floor, s | floor by | {" | ".join(["ours", "ours, compiled", *PEERS])} |')
    print(f'|{"---|" * (4 + 2 + len(PEERS))}')
    for scheme in args.scheme:
        for dtype in args.dtype:
            functions, products = candidates(scheme, dtype, args)
            check(functions, dtype)
            seconds = medians(functions, args.rounds)
            floor = seconds['floor']
            ratios = [
                f'{seconds[name] / floor:.2f}' if name in seconds else '' for name in ('ours', 'ours, compiled', *PEERS)
            ]
            print(f'| {scheme} | {dtype} | {floor:.3f} | {products.libraries()} | {" | ".join(ratios)} |', flush=True)


if __name__ == '__main__':
    main()
