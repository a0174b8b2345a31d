#!/usr/bin/env python
"""Run all measurements on one GPU in about four minutes: python benchmarks/gpu.py

The most important comes first, each row is printed as it is measured, and goals follow the figures that they are about.
Training in bfloat16 of ours as a user gets it, Hugging Face's and MMAction2's, eager and with compiled blocks, beside
the card's own rate of matrix products; inference; the training loop from video files; then the longest clips that fit.

Hugging Face's has no fused attention: transformers refuses ``attn_implementation='sdpa'`` for TimeSformer. Nothing has
to be installed: the packages that it needs may lie on PYTHONPATH.

python benchmarks/gpu.py --device cpu --tiny runs the same code without a GPU at toy sizes.
"""

import argparse
import dataclasses
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # a checkout that is not installed

import torch
from goals import GOALS, MACS, PRODUCT, Goal, Key, share_of_product, shown
from gpu_loop import from_files
from gpu_models import OUT_OF_TIME, Row, attempt, eager, free, inference, longest, products, training
from implementations import SCHEMES, available

NAMES = ('ours', 'Hugging Face', 'MMAction2')
PARTS = (*MACS, 'inference', 'files', 'longest')
COLUMNS = ('measured', 'of', 'batch', 'result', 'of the product', 'peak, GB', 'note')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--minutes',
        type=float,
        default=4,
        help='no measurement begins, and no training from files goes on, later (default: 4)',
    )
    parser.add_argument('--only', nargs='+', choices=PARTS, default=PARTS, help='these parts, and the products')
    parser.add_argument('--json', metavar='FILE', help='write all rows there, too')
    parser.add_argument('--device', choices=['cuda', 'cpu'], default='cuda')
    parser.add_argument('--tiny', action='store_true', help='toy sizes, to try the script')
    parser.set_defaults(references={})  # our logits of each variant, which all are compared with
    args = parser.parse_args()
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda needs a GPU, and there is none; --device cpu --tiny tries the script without')
    if args.json and not Path(args.json).resolve().parent.is_dir():
        parser.error(f'--json is {args.json!r}, expected a file in a folder that there is; make the folder first')
    return args


def plan(args: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Iterator[Row]]]]:
    """List the measurements, the most important first, each with the parts that it belongs to."""
    yield ' '.join(PARTS), partial(products, args)
    for name in NAMES:  # the rate from files is told beside our own
        yield 'base files' if name == 'ours' else 'base', partial(training, 'base', name, args)
    for variant in () if args.tiny else ('hr', 'l'):
        for name in NAMES[:2]:
            yield variant, partial(training, variant, name, args)
    yield 'inference', partial(inference, 'ours', 'ours', args)
    yield 'inference', partial(inference, 'ours', 'ours, eager', args, **eager('ours'))
    yield 'inference', partial(inference, 'Hugging Face', 'Hugging Face', args)
    yield 'files', partial(from_files, args)
    yield 'inference', partial(inference, 'Hugging Face', 'Hugging Face, compiled', args)
    for variant in () if args.tiny else ('hr', 'l'):
        yield variant, partial(training, variant, 'MMAction2', args)
    for scheme in list(SCHEMES)[: 1 if args.tiny else None]:
        for name in (name for name in NAMES if available(name, scheme, 'autocast')):
            for recomputes in (False, True)[: 1 if name == 'MMAction2' else 2]:  # which has no switch for it
                yield 'longest', partial(longest, scheme, name, recomputes, args)


class Table:
    """Print rows as they come, with the goals that they decide, and keep them in a file.

    Args:
        file (str, optional): JSON file.
        about (dict): What the file begins with.
    """

    def __init__(self, file: str | None, about: dict) -> None:
        self.file = file
        self.rows = [about]
        self.figures: dict[Key, float | None] = {}
        self.values: dict[str, float] = {}  # of goals
        print(f'| {" | ".join(COLUMNS)} |\n|{"---|" * len(COLUMNS)}')

    def add(self, row: Row) -> None:
        """Print a row, and each goal whose figures are all there now."""
        key = row.measured, row.of
        self.figures[key] = max((x for x in (self.figures.get(key), row.figure) if x is not None), default=None)
        share = self._share(row)
        result = 'not measured' if row.figure is None else shown(row.figure, row.unit)
        peak = '' if row.gigabytes is None else f'{row.gigabytes:.1f}'
        self._print(*key, row.batch or '', result, '' if share is None else shown(share, '%'), peak, row.note)
        self._keep(**dataclasses.asdict(row), share_of_product=share)
        for goal in GOALS:
            if key in goal.keys:
                self._decide(goal, goal.value(self.figures))

    def close(self) -> None:
        """Print the goals of which something, or all, was not measured."""
        for goal in (goal for goal in GOALS if goal.name not in self.values):
            self._decide(goal, goal.value(self.figures, is_last=True))
            if goal.name not in self.values:
                self._print(f'*goal: {goal.name}*', '', '', 'not measured', '', '', goal.bound())

    def _decide(self, goal: Goal, value: float | None) -> None:
        if value is None or value == self.values.get(goal.name):
            return
        self.values[goal.name] = value
        self._print(f'*goal: {goal.name}*', '', '', f'**{shown(value, goal.unit)}**', '', '', goal.verdict(value))
        self._keep(goal=goal.name, figure=value, unit=goal.unit, note=goal.verdict(value))

    def _share(self, row: Row) -> float | None:
        """Share of the card's product, of a training rate."""
        variant = row.measured.removeprefix('training ').split(',')[0]  # behind which may be its batch
        teraflops = self.figures.get(PRODUCT)
        if variant not in MACS or row.figure is None or teraflops is None:
            return None
        return share_of_product(variant, row.figure, teraflops)

    def _keep(self, **row) -> None:
        self.rows.append(row)
        if self.file:
            Path(self.file).write_text(json.dumps(self.rows, indent=1))

    @staticmethod
    def _print(*cells) -> None:
        print(f'| {" | ".join(map(str, cells))} |', flush=True)


def main() -> None:
    args = parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')
    torch.set_float32_matmul_precision('high')
    args.deadline = time.monotonic() + 60 * args.minutes
    device = torch.cuda.get_device_name() if args.device == 'cuda' else 'CPU'
    size = 'toy sizes, whose figures say nothing' if args.tiny else 'bfloat16 autocast over float32 weights, fused SGD'
    print(f'{device}, torch {torch.__version__}; {size}\n')
    table = Table(args.json, dict(device=device, torch=torch.__version__, tiny=args.tiny))
    for parts, measure in plan(args):
        if not set(parts.split()) & set(args.only):
            continue
        name = ' '.join(part for part in (measure.func.__name__, *measure.args) if isinstance(part, str))
        if time.monotonic() > args.deadline:
            table.add(Row(name, '', None, note=OUT_OF_TIME))
            continue
        free()
        torch.compiler.reset()
        for row in attempt(measure(), name, ''):
            table.add(row)
    table.close()


if __name__ == '__main__':
    main()
