#!/usr/bin/env python
"""Measure peak memory and time of a first forward pass or training step, ours and others', one process each.

python benchmarks/memory.py --scheme divided --train

Resident memory at the peak, less that of the model before the first pass, MB; training has parameters' gradients in it.
"""

import argparse
import logging
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
from implementations import BUILDERS, PEERS, SCHEMES, VARIANTS, available
from torch import nn

from mmtsf.deploy.fuse import fuse_backbone
from mmtsf.engine.launch import keep_freed_memory
from mmtsf.visualization import rollout


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--scheme', choices=SCHEMES, default='divided')
    parser.add_argument('--variant', choices=VARIANTS, default='base')
    parser.add_argument('--dtype', choices=['float32', 'bfloat16'], default='float32')
    parser.add_argument('--train', action='store_true', help='forward and backward')
    parser.add_argument('--kept', action='store_true', help='freed memory is kept, in all of them, as our tools do')
    parser.add_argument('--rollout', action='store_true', help='attention maps instead, of ours')
    parser.add_argument('--only', help=argparse.SUPPRESS)
    return parser.parse_args()


def resident() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def measure(args: argparse.Namespace) -> tuple[float, float]:
    """Measure peak memory beyond the start (MB) and seconds of one pass of the implementation ``args.only``."""
    num_frames, size = VARIANTS[args.variant]
    dtype = getattr(torch, args.dtype)
    name, options = (args.only, {}) if args.only in BUILDERS else ('ours', dict(with_cp=True))
    model = BUILDERS[name](args.scheme, num_frames, size, **options).to(dtype).train(args.train)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    if name == 'ours' and not args.train:
        fuse_backbone(model.backbone)
    clips = torch.randn(1, 3, num_frames, size, size, dtype=dtype)
    if args.kept:
        keep_freed_memory()
    Path('/proc/self/clear_refs').write_text('5')  # the peak begins anew
    before = resident()
    start = time.perf_counter()
    with torch.set_grad_enabled(args.train):
        result = rollout(model.backbone, clips) if args.rollout else model(clips)
        if args.train:
            result.float().square().sum().backward()
    seconds = time.perf_counter() - start
    status = Path('/proc/self/status').read_text()
    return int(status.split('VmHWM:')[1].split()[0]) * 1.024e-3 - before, seconds


def main() -> None:
    args = parse_args()
    logging.disable(logging.INFO)
    if args.only:
        print('measured', *measure(args))
        return
    names = ['ours', *(['ours, recomputing blocks'] if args.train else []), *([] if args.rollout else PEERS)]
    kind = 'training step' if args.train else 'attention rollout' if args.rollout else 'forward'
    print(f'{args.scheme}, {args.variant}, {args.dtype}, {kind}')
    for name in names:
        if name in BUILDERS and not available(name, args.scheme, args.dtype):
            continue
        command = [sys.executable, *sys.argv, '--only', name]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        megabytes, seconds = map(float, output.split('measured ')[1].split())
        print(f'{name:26} {megabytes:8.0f} MB {seconds:8.2f} s', flush=True)


if __name__ == '__main__':
    main()
