#!/usr/bin/env python
"""Time what a checkpoint costs a training: the iteration that asks for it, and those while it is written.

    python benchmarks/reliability/checkpoint_time.py --rounds 5 --interval 10

The weights are those of the base model, with the momenta of SGD 1 GB; the clips are small, so that many iterations fit
into the time of a write. The first checkpoint, which takes memory that the next ones use again, is left out.
"""

import argparse
import statistics
import tempfile
import time
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import Tensor
from torch.utils.data import Dataset

from mmtsf.engine.runner import Runner
from mmtsf.models import TimeSformer


class Clips(Dataset):
    """Random clips of two frames of 32 x 32 pixels."""

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, index: Any) -> dict:
        return dict(clip=torch.randn(3, 2, 32, 32))


class Model(BaseModel):
    """The base model's blocks, trained to give zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = TimeSformer(dict(type='DividedAttention'), num_frames=2, img_size=32, patch_size=16)

    def forward(self, clip: Tensor, mode: str = 'tensor') -> dict:
        return dict(loss=self.backbone(clip).square().mean())


class Clock(Hook):
    """Notes when each iteration has ended, after all other hooks."""

    priority = 'LOWEST'

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.times: list[float] = []

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available() and (runner.iter + 2) % self.interval == 0:
            torch.cuda.synchronize()  # what was asked for before is not the checkpoint's
        self.times.append(time.perf_counter())


def train(background: bool, rounds: int, interval: int, folder: str) -> tuple[list[float], list[float], list[float]]:
    """Train; the seconds of iterations with a checkpoint, of all others, and of all from one checkpoint to the next."""
    clock = Clock(interval)
    checkpoint = dict(type='CheckpointHook', interval=-1, save_last=False, iterations=interval, background=background)
    loader = dict(batch_size=1, dataset=Clips(), sampler=dict(type='DefaultSampler', shuffle=False))
    runner = Runner(
        model=Model(),
        work_dir=tempfile.mkdtemp(dir=folder),
        train_dataloader=loader | dict(collate_fn=dict(type='default_collate')),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=(rounds + 2) * interval),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-6, momentum=0.9)),
        default_hooks=dict(checkpoint=checkpoint),
        custom_hooks=[clock],
        default_scope='mmtsf',
        log_level='ERROR',
        experiment_name=str(time.time()),
    )
    runner.train()
    steps = [after - before for before, after in zip(clock.times, clock.times[1:])]
    starts = range(2 * interval - 2, len(steps) - interval + 1, interval)
    rounds_of = [steps[start : start + interval] for start in starts]
    asked, others = [steps[0] for steps in rounds_of], [step for steps in rounds_of for step in steps[1:]]
    return asked, others, [sum(steps) for steps in rounds_of]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=5, help='checkpoints of each kind')
    parser.add_argument('--interval', type=int, default=10, help='iterations from one to the next (on a GPU: 100)')
    args = parser.parse_args()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f'{torch.get_num_threads()} CPU threads'
    print(f'{device}; seconds, medians of {args.rounds}', flush=True)
    for background in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            asked, others, rounds = map(statistics.median, train(background, args.rounds, args.interval, folder))
        print(
            f'{"background" if background else "foreground"}: iteration with a checkpoint {asked:.3f}, others '
            f'{others:.3f}, {args.interval} iterations {rounds:.2f}',
            flush=True,
        )


if __name__ == '__main__':
    main()
