"""Measure the time of testing: with decoding, and of the model alone."""

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from math import inf
from typing import Any

import torch
from mmaction.models import BaseRecognizer
from rich.progress import track

from mmtsf.config import load_config
from mmtsf.engine.launch import keep_freed_memory
from mmtsf.engine.runner import Runner
from mmtsf.utils.cores import num_cores
from mmtsf.utils.results import say_stopped

from .recognizer import init_recognizer

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
def measure(config: str, checkpoint: str, options: dict, limit: int | None, videos: int) -> None:
    """Test the videos of a config's test list, and print how long it takes.

    Args:
        config (str): Config file, or name of a shipped one.
        checkpoint (str): Weights of any known origin.
        options (dict): Changes to the config by dotted keys.
        limit (int, optional): Videos that are tested; None is all of them.
        videos (int): Number of videos for which hours are given.
    """
    settings = load_config(config, options)
    model = init_recognizer(settings, checkpoint, fused=True)
    device = model.data_preprocessor.device
    keep_freed_memory(device)
    loader: Any = Runner.build_dataloader(settings.test_dataloader, seed=0)
    batches = track(loader, 'testing', disable=not sys.stdout.isatty())
    total = len(loader.dataset) if limit is None else min(limit, len(loader.dataset))
    whole = Timing()
    try:
        batch = run(model, batches, total, whole)
    except KeyboardInterrupt:
        say_stopped(whole.videos, total, 'videos', 'the row is theirs')
        if whole.videos:
            print(whole.row('decoding and model', videos))
        raise
    size = len(batch['inputs'])
    alone = Timing()
    run(model, repeat(batch), whole.videos, alone, SECONDS)
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else f'CPU, {num_cores()} cores'
    print(
        f'{whole.videos} videos of {whole.clips / whole.videos:g} clips (views) in batches of {size}; {name}; '
        f'{loader.num_workers} workers'
    )
    print(f'{"":20}{"clips/s":>12}{"videos/s":>12}{"hours":>12}  for {videos:,} videos')
    print(whole.row('decoding and model', videos))
    print(alone.row('model alone', videos))


def run(model: BaseRecognizer, batches: Iterable[dict], videos: int, timing: Timing, seconds: float = inf) -> dict:
    """Test until there are enough videos or the seconds are over; count into ``timing``, return the largest batch."""
    largest, start = dict[str, Any](inputs=[]), time.perf_counter()
    for batch in batches:
        if len(batch['inputs']) > len(largest['inputs']):  # the last one may be a part of a batch
            largest = batch
        model.test_step(batch)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        timing.videos += len(batch['inputs'])
        timing.clips += sum(map(len, batch['inputs']))
        timing.seconds = time.perf_counter() - start
        if timing.videos >= videos or timing.seconds > seconds:
            break
    return largest
