#!/usr/bin/env python
"""Measure the time of testing over a list, as section 4.5 of the paper gives it for the 20,000 videos of Kinetics-400:

python tools/analysis/inference_time.py CONFIG CHECKPOINT

Takes the config's test list and protocol; views.num_clips=10 and the like change them. The first row is all of it:
videos are decoded by test_dataloader.num_workers processes while the model computes. The second is the model alone, on
a whole batch of clips in memory. Batches are of test_dataloader.batch_size videos, also where --limit is not a multiple
of it.
"""

import argparse

from mmtsf.utils.arguments import add_model, add_options, check_model, mistakes_of, new_parser, parsed


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add_model(parser)
    parser.add_argument('--limit', type=int, help='videos that are tested (default: all of the list)')
    parser.add_argument('--videos', type=int, default=20_000, help='for which hours are given (default: 20000)')
    add_options(parser)
    args = parser.parse_args()
    with mistakes_of(parser):
        if args.videos < 1 or (args.limit is not None and args.limit < 1):
            raise ValueError(f'--videos is {args.videos} and --limit {args.limit}, expected at least 1')
        check_model(args)
    return args


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from math import inf

import torch
from rich.progress import track
from torch import nn

from mmtsf.apis import init_recognizer
from mmtsf.config import load_config
from mmtsf.engine.launch import keep_freed_memory
from mmtsf.engine.runner import Runner
from mmtsf.utils.cores import num_cores

SECONDS = 10  # for which the model alone is run, or for as many videos


@dataclass
class Timing:
    """Count what was tested in how much time.

    Args:
        clips (int): Views. Defaults to 0.
        videos (int): Videos. Defaults to 0.
        seconds (float): Time. Defaults to 0.
    """

    clips: int = 0
    videos: int = 0
    seconds: float = 0.0

    def row(self, name: str, videos: int) -> str:
        """Format clips and videos a second, and hours for a number of videos."""
        rate = self.videos / self.seconds
        return f'{name:20}{self.clips / self.seconds:12.3g}{rate:12.3g}{videos / rate / 3600:12.3g}'


@torch.no_grad()
def main() -> None:
    args = parse_args()
    config = load_config(args.config, parsed(args.cfg_options))
    model = init_recognizer(config, args.checkpoint, fused=True)
    device = model.data_preprocessor.device
    keep_freed_memory(device)
    loader = Runner.build_dataloader(config.test_dataloader, seed=0)
    batches = track(loader, 'testing', disable=not sys.stdout.isatty())
    whole, batch = run(model, batches, args.limit or len(loader.dataset))
    size = len(batch['inputs'])
    alone, _ = run(model, repeat(batch), whole.videos, SECONDS)
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else f'CPU, {num_cores()} cores'
    print(
        f'{whole.videos} videos of {whole.clips / whole.videos:g} clips (views) in batches of {size}; {name}; '
        f'{loader.num_workers} workers'
    )
    print(f'{"":20}{"clips/s":>12}{"videos/s":>12}{"hours":>12}  for {args.videos:,} videos')
    print(whole.row('decoding and model', args.videos))
    print(alone.row('model alone', args.videos))


def run(model: nn.Module, batches: Iterable[dict], videos: int, limit: float = inf) -> tuple[Timing, dict]:
    """Test until there are enough videos or ``limit`` seconds are over; return the time, and the largest batch."""
    timing, largest, start = Timing(), None, time.perf_counter()
    for batch in batches:
        if largest is None or len(batch['inputs']) > len(largest['inputs']):  # the last one may be a part of a batch
            largest = batch
        model.test_step(batch)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        timing.videos += len(batch['inputs'])
        timing.clips += sum(map(len, batch['inputs']))
        timing.seconds = time.perf_counter() - start
        if timing.videos >= videos or timing.seconds > limit:
            break
    return timing, largest


if __name__ == '__main__':
    main()
