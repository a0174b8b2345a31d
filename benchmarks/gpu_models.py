"""Measure models on one device: matrix products, training, inference, and the longest clips that fit."""

import argparse
import gc
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from goals import PRODUCT
from implementations import BUILDERS, VARIANTS
from timing import median, seconds_of
from torch import Tensor, nn

from mmtsf.deploy.fuse import fuse_backbone

BLOCKS = {
    'ours': 'backbone.blocks',
    'Hugging Face': 'model.timesformer.encoder.layer',
    'MMAction2': 'backbone.transformer_layers.layers',
}
TIME_TABLES = ('time', 'time_embeddings', 'time_embed')
#: Clips of a training step: one batch, as each size that is tried costs a compilation; halved where memory is short
BATCHES = dict(base=32, hr=4, l=4)
#: Ours is measured with this one, too, for its memory, by the model that was compiled for the other; the rate is a row
#: of its own, as no other implementation is measured so
LARGE_BATCH = dict(base=64)
INFERENCE_BATCH = 64
#: How far bfloat16 logits may be apart from ours in float32, as a share of the largest
TOLERANCE = 0.1
SHORT_OF_MEMORY = 'out of memory'
OUT_OF_TIME = 'out of time'
#: The longest clip is a multiple of so many frames
STEP = 8


@dataclass
class Row:
    """A figure.

    Args:
        measured (str): What was measured.
        of (str): Whose it is.
        figure (float | None): The number; None if it could not be measured.
        unit (str): Its unit.
        batch (int | None): Clips at a time.
        gigabytes (float): Peak memory of the GPU.
        note (str): What else there is to say.
    """

    measured: str
    of: str
    figure: float | None
    unit: str = ''
    batch: int | None = None
    gigabytes: float | None = None
    note: str = ''


def build(name: str, scheme: str, num_frames: int, size: int, args: argparse.Namespace, **options) -> nn.Module:
    """Build a model in training mode, without dropout, directly on the device."""
    with torch.device(args.device):
        model = BUILDERS[name](scheme, num_frames, size, num_layers=1 if args.tiny else 12, **options)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model.to(args.device).train()


def eager(name: str) -> dict:
    """Return the options that keep a model from being compiled."""
    return dict(compiled=False) if name == 'ours' else {}


def compile_blocks(model: nn.Module, name: str, args: argparse.Namespace) -> None:
    """Compile each block: one function for all, seconds where the whole model takes a minute."""
    for block in model.get_submodule(BLOCKS[name]):
        block.compile(dynamic=False, backend='eager' if args.tiny else 'inductor')


def free() -> None:
    """Give back the memory that nothing uses, and begin the peak anew."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gigabytes() -> float | None:
    return torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else None


def reason(error: Exception) -> str:
    """Shorten an error message."""
    if isinstance(error, torch.OutOfMemoryError) or 'out of memory' in str(error).lower():
        return SHORT_OF_MEMORY
    if isinstance(error, subprocess.TimeoutExpired):
        return OUT_OF_TIME
    return f'{type(error).__name__}: {(str(error).splitlines() or [""])[0][:100]}'.replace('|', '/')


def attempt(rows: Iterator[Row], *names: str) -> Iterator[Row]:
    """Yield rows; what goes wrong becomes one of these names without a figure."""
    try:
        yield from rows
    except Exception as error:  # one that fails must not cost the others
        yield Row(*names, None, note=reason(error))


def shape_of(variant: str, args: argparse.Namespace) -> tuple[int, int]:
    """Return frames and pixels of a variant."""
    return (4, 32) if args.tiny else VARIANTS[variant]


def clip_and_logits(variant: str, args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Return a random clip and our logits of it, in float32."""
    if variant not in args.references:
        num_frames, size = shape_of(variant, args)
        clip = torch.randn(1, 3, num_frames, size, size, generator=torch.Generator().manual_seed(0)).to(args.device)
        with torch.no_grad():
            args.references[variant] = clip, build('ours', 'divided', num_frames, size, args, **eager('ours'))(clip)
    return args.references[variant]


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


def products(args: argparse.Namespace) -> Iterator[Row]:
    """Measure the rate of one bfloat16 matrix product: the card's practical ceiling."""
    shapes = [(256, 256, 256)] if args.tiny else [(8192, 8192, 8192), (32 * 1569, 768, 3072)]
    for m, k, n in shapes:
        a = torch.randn(m, k, device=args.device, dtype=torch.bfloat16)
        b = torch.randn(k, n, device=args.device, dtype=torch.bfloat16)
        teraflops = 2 * m * k * n / median(partial(torch.mm, a, b), 20) / 1e12
        yield Row(*PRODUCT, teraflops, 'TFLOP/s', note=f'{m} x {k} x {n}')


def training(variant: str, name: str, args: argparse.Namespace) -> Iterator[Row]:
    """Measure the training rate: ours as it is built by default; of others eager, then with compiled blocks."""
    clip, expected = clip_and_logits(variant, args)
    model = build(name, 'divided', *shape_of(variant, args), args)
    step = partial(train_step, model, momentum_sgd(model))
    batch, label = 2 if args.tiny else BATCHES[variant], name
    for label in (name,) if name == 'ours' else (name, f'{name}, compiled'):
        if label != name:
            compile_blocks(model, name, args)
        row = measured_step(step, clip, expected, batch, args, f'training {variant}', label)
        while row.note == SHORT_OF_MEMORY and batch > 1:
            model.zero_grad()
            batch //= 2
            row = measured_step(step, clip, expected, batch, args, f'training {variant}', label)
        yield row
    large = 3 if args.tiny else LARGE_BATCH.get(variant)
    if name == 'ours' and large:
        row = measured_step(step, clip, expected, large, args, f'training {variant}, batch {large}', label)
        yield row
        yield Row(f'memory {variant}', label, row.gigabytes, 'GB', large)


def measured_step(
    step: Callable[[Tensor], Tensor],
    clip: Tensor,
    expected: Tensor,
    batch: int,
    args: argparse.Namespace,
    *names: str,
) -> Row:
    """Measure clips per second of a step, once its logits have been compared; an error makes a row without figure."""
    free()
    clips, rounds = clip.repeat(batch, 1, 1, 1, 1), rounds_of(names[0], args)
    try:
        start = time.perf_counter()
        check(step(clips), expected)
        first = time.perf_counter() - start
        rate = batch / median(partial(step, clips), rounds)
        return Row(*names, rate, 'clips/s', batch, peak_gigabytes(), f'first step {first:.1f} s')
    except Exception as error:
        return Row(*names, None, 'clips/s', batch, note=reason(error))


def rounds_of(measured: str, args: argparse.Namespace) -> int:
    return 1 if args.tiny else 10 if 'base' in measured else 4


def check(logits: Tensor, expected: Tensor) -> None:
    """Raise if logits are not those of the reference; this waits for the device."""
    apart = float((logits.float() - expected).abs().max() / expected.abs().max())
    if not apart < TOLERANCE:
        raise RuntimeError(f'logits are {apart:.1e} of the largest apart from ours')


def inference(name: str, label: str, args: argparse.Namespace, **options) -> Iterator[Row]:
    """Measure a forward pass of the base model in bfloat16; ours with the layers that our tools merge."""
    clip, expected = clip_and_logits('base', args)
    model = build(name, 'divided', *shape_of('base', args), args, **options).eval()
    if name == 'ours':
        fuse_backbone(model.backbone)
    model.to(torch.bfloat16)
    if label.endswith('compiled'):
        compile_blocks(model, name, args)
    batch = 2 if args.tiny else INFERENCE_BATCH
    with torch.no_grad():
        yield measured_step(model, clip.bfloat16(), expected, batch, args, 'inference base', label)


def longest(scheme: str, name: str, recomputes: bool, args: argparse.Namespace) -> Iterator[Row]:
    """Find the largest number of 224-pixel frames that a training step fits in memory, by doubling, then bisection."""
    options = dict(with_cp=True) if recomputes and name == 'ours' else {}
    size, cap = (32, 2 * STEP) if args.tiny else (224, 2048)
    model = build(name, scheme, STEP, size, args, **eager(name), **options)
    if recomputes and name == 'Hugging Face':
        model.model.gradient_checkpointing_enable()
    low, high, note, limit = 0, cap + STEP, '', time.monotonic() + 40
    while high - low > STEP and time.monotonic() < limit:
        frames = (low + high) // 2 // STEP * STEP if note else min(max(2 * low, STEP), cap)
        free()
        try:
            lengthen(model, frames)
            optimizer = momentum_sgd(model)
            clips = torch.randn(1, 3, frames, size, size, device=args.device)
            seconds_of(partial(train_step, model, optimizer, clips), calls=2)  # the second has momenta
            low = frames
        except Exception as error:
            high, note = frames, f'{reason(error)} at {frames}'
            model.zero_grad()
    label = f'{name}, recomputing blocks' if recomputes else name
    yield Row(f'longest clip {scheme}', label, low, 'frames', 1, note=note or f'at least; {cap} is the most tried')


def lengthen(model: nn.Module, num_frames: int) -> None:
    """Change the number of frames of a model of any implementation."""
    for module in model.modules():
        for holder in (module, getattr(module, 'config', None)):
            if hasattr(holder, 'num_frames'):
                holder.num_frames = num_frames
    for name, parameter in model.named_parameters():
        if name.split('.')[-1] in TIME_TABLES:
            parameter.data = parameter.data.new_zeros(1, num_frames, parameter.shape[2])
