#!/usr/bin/env python
"""Run all measurements on one GPU in under ten minutes: python benchmarks/gpu.py

Training in bfloat16 of ours, Hugging Face's and MMAction2's, each at the best of a few batch sizes, plain and with
compiled blocks, beside the card's own rate of matrix products; then the longest clips that fit. The most important
comes first, rows are printed as they are measured, and the table at the end says what there was no time for.

Hugging Face's has no fused attention: transformers refuses ``attn_implementation='sdpa'`` for TimeSformer.

python benchmarks/gpu.py --device cpu --tiny runs the same code without a GPU at toy sizes.
"""

import argparse
import gc
import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from implementations import BUILDERS, SCHEMES, VARIANTS, available
from torch import Tensor, nn

NAMES = ('ours', 'Hugging Face', 'MMAction2')
BLOCKS = {
    'ours': 'backbone.blocks',
    'Hugging Face': 'model.timesformer.encoder.layer',
    'MMAction2': 'backbone.transformer_layers.layers',
}
TIME_TABLES = ('time', 'time_embeddings', 'time_embed')
#: Multiply-accumulates of divided attention for one view, as tools/analysis/get_flops.py counts them
MACS = dict(base=195.83e9, hr=1702.69e9, l=2379.86e9)
BATCHES = dict(base=(8, 16, 32, 64), hr=(1, 2, 4, 8), l=(1, 2, 4, 8))
#: How far bfloat16 logits may be apart from ours in float32, as a share of the largest
TOLERANCE = 0.1
#: The longest clip is a multiple of so many frames
STEP = 8


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=9.5, help='no measurement begins later (default: 9.5)')
    parser.add_argument('--only', choices=['training', 'longest'], help='one of the two halves')
    parser.add_argument('--device', choices=['cuda', 'cpu'], default='cuda')
    parser.add_argument('--tiny', action='store_true', help='toy sizes, to try the script')
    return parser.parse_args()


def build(name: str, scheme: str, num_frames: int, size: int, args: argparse.Namespace, **options) -> nn.Module:
    """Build a model in training mode, without dropout, directly on the device."""
    with torch.device(args.device):
        model = BUILDERS[name](scheme, num_frames, size, num_layers=2 if args.tiny else 12, **options)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model.to(args.device).train()


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds_of(step: Callable[[], object], rounds: int) -> float:
    """Measure the median seconds of synchronized rounds, after two warm-up rounds."""
    times = []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        step()
        synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gigabytes() -> str:
    return f'{torch.cuda.max_memory_allocated() / 1e9:.1f}' if torch.cuda.is_available() else ''


def reason(error: Exception) -> str:
    """Shorten an error message."""
    if isinstance(error, torch.OutOfMemoryError) or 'out of memory' in str(error).lower():
        return 'out of memory'
    return f'{type(error).__name__}: {(str(error).splitlines() or [""])[0][:100]}'.replace('|', '/')


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, clips: Tensor) -> Tensor:
    """Run one training step of float32 weights under bfloat16 autocast, and return the logits."""
    with torch.autocast(clips.device.type, torch.bfloat16):
        logits = model(clips)
    labels = torch.zeros(len(clips), dtype=torch.long, device=clips.device)
    F.cross_entropy(logits.float(), labels).backward()
    optimizer.step()
    optimizer.zero_grad()
    return logits.detach()


def momentum_sgd(model: nn.Module) -> torch.optim.Optimizer:
    # a rate of 0 takes as long as any, and the logits stay what they are
    return torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9, fused=True)


def products(args: argparse.Namespace) -> Iterator[tuple]:
    """Measure the rate of one bfloat16 matrix product: the card's practical ceiling."""
    shapes = [(256, 256, 256)] if args.tiny else [(8192, 8192, 8192), (32 * 1569, 768, 3072)]
    for m, k, n in shapes:
        a = torch.randn(m, k, device=args.device, dtype=torch.bfloat16)
        b = torch.randn(k, n, device=args.device, dtype=torch.bfloat16)
        teraflops = 2 * m * k * n / seconds_of(partial(torch.mm, a, b), 20) / 1e12
        args.ceiling = max(getattr(args, 'ceiling', 0), teraflops)
        yield f'product {m} x {k} x {n}', 'torch', '', f'{teraflops:.3g} TFLOP/s', '', ''


def training(variant: str, name: str, args: argparse.Namespace) -> Iterator[tuple]:
    """Find the best training rate over batch sizes, eager and compiled, after comparing logits with ours in float32."""
    num_frames, size = (4, 32) if args.tiny else VARIANTS[variant]
    clip = torch.randn(1, 3, num_frames, size, size, generator=torch.Generator().manual_seed(0)).to(args.device)
    with torch.no_grad():
        expected = build('ours', 'divided', num_frames, size, args)(clip)
    model = build(name, 'divided', num_frames, size, args)
    step = partial(train_step, model, momentum_sgd(model))
    for label in (name, f'{name}, compiled'):
        if label != name:
            torch._dynamo.reset()
            for block in model.get_submodule(BLOCKS[name]):  # one function: seconds where the whole takes a minute
                block.compile(dynamic=False, backend='aot_eager' if args.tiny else 'inductor')
        best, note = (0.0, 0, ''), ''
        for batch in BATCHES[variant]:
            free()
            try:
                clips = clip.repeat(batch, 1, 1, 1, 1)
                apart = float((step(clips).float() - expected).abs().max() / expected.abs().max())
                if not apart < TOLERANCE:
                    raise RuntimeError(f'logits are {apart:.1e} of the largest apart from ours')
                best = max(best, (batch / seconds_of(partial(step, clips), 10), batch, peak_gigabytes()))
            except Exception as error:
                note = f'{reason(error)} at batch {batch}'
                model.zero_grad()
                break
        share = '' if args.tiny else f'{6 * MACS[variant] * best[0] / 1e12 / args.ceiling:.1%}'
        yield f'training {variant}', label, best[1], f'{best[0]:.4g} clips/s', share, f'{best[2]} GB {note}'


def longest(scheme: str, name: str, recomputes: bool, args: argparse.Namespace) -> Iterator[tuple]:
    """Find the largest number of 224-pixel frames that a training step fits in memory, by doubling, then bisection."""
    options = dict(with_cp=True) if recomputes and name == 'ours' else {}
    size, cap = (32, 32) if args.tiny else (224, 2048)
    model = build(name, scheme, STEP, size, args, **options)
    if recomputes and name == 'Hugging Face':
        model.model.gradient_checkpointing_enable()
    low, high, note, limit = 0, cap + STEP, '', time.monotonic() + 40
    while high - low > STEP and time.monotonic() < limit:
        frames = (low + high) // 2 // STEP * STEP if note else min(max(2 * low, STEP), cap)
        free()
        try:
            lengthen(model, frames)
            optimizer = momentum_sgd(model)
            for _ in range(2):  # the second one has a momentum for every parameter
                train_step(model, optimizer, torch.randn(1, 3, frames, size, size, device=args.device))
            synchronize()
            low = frames
        except Exception as error:
            high, note = frames, f'{reason(error)} at {frames}'
            model.zero_grad()
    label = f'{name}, recomputing blocks' if recomputes else name
    yield f'longest clip {scheme}', label, 1, f'{low} frames', '', note or f'at least; {cap} is the most that is tried'


def lengthen(model: nn.Module, num_frames: int) -> None:
    """Change the number of frames of a model of any implementation."""
    for module in model.modules():
        for holder in (module, getattr(module, 'config', None)):
            if hasattr(holder, 'num_frames'):
                holder.num_frames = num_frames
    for name, parameter in model.named_parameters():
        if name.split('.')[-1] in TIME_TABLES:
            parameter.data = parameter.data.new_zeros(1, num_frames, parameter.shape[2])


def plan(args: argparse.Namespace) -> Iterator[Callable[[], Iterator[tuple]]]:
    """List the measurements, the most important first."""
    yield partial(products, args)
    if args.only != 'longest':
        for variant in ('base',) if args.tiny else VARIANTS:
            for name in NAMES:
                yield partial(training, variant, name, args)
    if args.only != 'training':
        for scheme in SCHEMES:
            for name in (name for name in NAMES if available(name, scheme, 'autocast')):
                for recomputes in (False, True)[: 1 if name == 'MMAction2' else 2]:  # which has no switch for it
                    yield partial(longest, scheme, name, recomputes, args)


def main() -> int:
    args = parse_args()
    if args.device == 'cuda' and not torch.cuda.is_available():
        print('this needs a GPU, and there is none; --device cpu --tiny tries the script without', file=sys.stderr)
        return 2
    logging.disable(logging.WARNING)
    torch.set_float32_matmul_precision('high')
    deadline = time.monotonic() + 60 * args.minutes
    device = torch.cuda.get_device_name() if args.device == 'cuda' else 'CPU'
    print(f'{device}, torch {torch.__version__}; bfloat16 autocast over float32 weights, fused SGD\n')
    print('| measured | of | batch | result | of the ceiling | peak, note |\n|---|---|---|---|---|---|')
    for measure in plan(args):
        what = ' '.join(str(part) for part in (measure.func.__name__, *measure.args[:-1]))
        free()
        try:
            if time.monotonic() > deadline:
                raise TimeoutError('out of time')
            for row in measure():
                print(f'| {" | ".join(map(str, row))} |', flush=True)
        except Exception as error:  # one that fails must not cost the others
            print(f'| {what} | | | | | not measured: {reason(error)} |', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
