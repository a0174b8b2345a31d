#!/usr/bin/env python
"""Measure peak memory and time of a first forward pass or training step, ours and others', one process each.

python benchmarks/memory.py --scheme divided --train
python benchmarks/memory.py --recipes

Resident memory at the peak, less that of the model before the first pass, MB; training has parameters' gradients in it.
With --recipes whole updates of ways to train a model, by our recipes: tensors of weights, gradients and optimizer
states, the peak beyond the weights (of a GPU, where there is one, what PyTorch has allocated), and the processor's and
the clock's seconds of an update, medians behind the first one.
"""

import argparse
import logging
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from implementations import BUILDERS, CONFIG, PEERS, SCHEMES, VARIANTS, available
from mmaction.structures import ActionDataSample
from mmengine.optim import build_optim_wrapper
from timing import synchronize
from torch import nn

from mmtsf.config import load_config
from mmtsf.deploy.fuse import fuse_backbone
from mmtsf.engine.launch import keep_freed_memory
from mmtsf.registry import MODELS
from mmtsf.visualization import rollout

EIGHT_BITS = {'optim_wrapper.optimizer.type': 'AdamW8bit'}
#: Ways to train: options of a config
RECIPES: dict[str, dict[str, Any]] = {
    'all weights, AdamW': dict(recipe='small'),
    'all weights, 8-bit AdamW': dict(recipe='small', **EIGHT_BITS),
    'all weights, recomputing blocks': {'recipe': 'small', 'model.backbone.with_cp': True},
    'lora': dict(recipe='lora'),
    'lora, MLPs as well': {'recipe': 'lora', 'training.adapters.targets': ['attention', 'mlp']},
    'lora, temporal_fc whole': {'recipe': 'lora', 'training.adapters.whole': ['temporal_fc']},
    'lora, 8-bit AdamW': dict(recipe='lora', **EIGHT_BITS),
    'lora, recomputing blocks': {'recipe': 'lora', 'model.backbone.with_cp': True},
    'frozen_time': dict(recipe='frozen_time'),
    'frozen_time, 8-bit AdamW': dict(recipe='frozen_time', **EIGHT_BITS),
    'linear_probe': dict(recipe='linear_probe'),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--scheme', choices=SCHEMES, default='divided')
    parser.add_argument('--variant', choices=VARIANTS, default='base')
    parser.add_argument('--dtype', choices=['float32', 'bfloat16'], default='float32')
    parser.add_argument('--train', action='store_true', help='forward and backward')
    parser.add_argument('--kept', action='store_true', help='freed memory is kept, in all of them, as our tools do')
    parser.add_argument('--rollout', action='store_true', help='attention maps instead, of ours')
    parser.add_argument('--recipes', action='store_true', help='updates of ways to train instead, of ours')
    parser.add_argument('--batch', type=int, default=1, help='clips of an update, with --recipes (default: 1)')
    parser.add_argument('--layers', type=int, default=12, help='blocks of the model, with --recipes (default: 12)')
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
    before = start_of_peak()
    start = time.perf_counter()
    with torch.set_grad_enabled(args.train):
        result = rollout(model.backbone, clips) if args.rollout else model(clips)
        if args.train:
            result.float().square().sum().backward()
    seconds = time.perf_counter() - start
    return peak() - before, seconds


def start_of_peak() -> float:
    """Let the peak begin anew, and return the memory in MB that is taken."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 1e6
    Path('/proc/self/clear_refs').write_text('5')
    return resident()


def peak() -> float:
    """Return the most memory in MB that was taken."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    return int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]) * 1.024e-3


def measure_updates(args: argparse.Namespace, updates: int = 3) -> list[float]:
    """Measure updates of the way to train ``args.only``: MB of weights, of those that learn, of gradients, of states,
    the peak beyond the weights, and seconds of the processor and of the clock."""
    changes = {'start': None, 'model.backbone.num_layers': args.layers, **RECIPES[args.only]}
    config = load_config(CONFIG, changes)
    model = MODELS.build(config.model)
    model.init_weights()
    model.to('cuda' if torch.cuda.is_available() else 'cpu').train()
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    num_frames, size = VARIANTS['base']
    clips = torch.randint(0, 256, (args.batch, 1, 3, num_frames, size, size), dtype=torch.uint8)
    samples = [ActionDataSample().set_gt_labels(number % 400) for number in range(args.batch)]
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients: dict[int, Any] = {}
    for parameter in learning:
        parameter.register_post_accumulate_grad_hook(lambda weight: gradients.update({id(weight): weight.detach()}))
    before, times = start_of_peak(), []
    for _ in range(updates):
        synchronize()
        start = time.process_time(), time.perf_counter()
        model.train_step(dict(inputs=list(clips), data_samples=samples), wrapper)
        synchronize()
        times.append((time.process_time() - start[0], time.perf_counter() - start[1]))
    highest = peak() - before
    states = [value for state in wrapper.optimizer.state.values() for value in state.values()]
    sizes = [
        sum(tensor.nbytes for tensor in tensors if isinstance(tensor, torch.Tensor)) / 1e6
        for tensors in (model.parameters(), learning, gradients.values(), states)  # a gradient is of its weight's size
    ]
    return [*sizes, highest, *(statistics.median(kind) for kind in zip(*times[1:]))]


def print_recipes(args: argparse.Namespace) -> None:
    """Print a line for each way to train."""
    print(f'base, {args.layers} blocks, {args.batch} x 8 x 224, {args.dtype}, MB and seconds of an update')
    print(f'{"":34}{"weights":>9}{"learning":>9}{"gradients":>10}{"states":>8}{"peak":>8}{"processor":>11}{"clock":>8}')
    for name in RECIPES:
        *sizes, processor, clock = measured(name)
        words = ''.join(f'{size:{width}.1f}' for size, width in zip(sizes, (9, 9, 10, 8, 8)))
        print(f'{name:34}{words}{processor:11.2f}{clock:8.2f}', flush=True)


def measured(name: str) -> list[float]:
    """Measure one thing in a process of its own."""
    command = [sys.executable, *sys.argv, '--only', name]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return list(map(float, output.split('measured ')[1].split()))


def main() -> None:
    args = parse_args()
    logging.disable(logging.INFO)
    if args.only:
        print('measured', *(measure_updates(args) if args.recipes else measure(args)))
        return
    if args.recipes:
        print_recipes(args)
        return
    names = ['ours', *(['ours, recomputing blocks'] if args.train else []), *([] if args.rollout else PEERS)]
    kind = 'training step' if args.train else 'attention rollout' if args.rollout else 'forward'
    print(f'{args.scheme}, {args.variant}, {args.dtype}, {kind}')
    for name in names:
        if name in BUILDERS and not available(name, args.scheme, args.dtype):
            continue
        megabytes, seconds = measured(name)
        print(f'{name:26} {megabytes:8.0f} MB {seconds:8.2f} s', flush=True)


if __name__ == '__main__':
    main()
