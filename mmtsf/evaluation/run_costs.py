"""Find what a run cost: the columns of the paper's Table 2."""

import itertools
import json
import re
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmtsf.config import load_config
from mmtsf.registry import MODELS

from .model_costs import count_macs, count_parameters

UNKNOWN = 'not known'


def costs_of(work_dir: Path, accuracy: dict[str, str]) -> dict[str, str]:
    """Fill the columns of Table 2: training hours of all processes, accuracy, multiply-accumulates of all views of a
    test video, parameters.

    Args:
        work_dir (Path): Work dir of the test; where it is that of the training, too, hours are known.
        accuracy (dict[str, str]): The accuracy, by its name.
    """
    hours = training_hours(work_dir)
    is_short = hours is not None and hours < 1
    time = {
        'training minutes' if is_short else 'training hours': _number(hours and (60 * hours if is_short else hours))
    }
    found = time | accuracy
    unknown = {'inference TFLOPs': UNKNOWN, 'parameters': UNKNOWN}
    left = sorted(work_dir.glob('*/vis_data/config.py'))  # by the times of the runs, of which the test is the last
    config = load_config(str(left[-1])) if left else None
    if config is None or config.model.backbone.get('type') not in ('TimeSformer', 'mmtsf.TimeSformer'):
        return found | unknown
    init_default_scope('mmtsf')
    with torch.device('meta'):
        model = MODELS.build(config.model).eval()
    views = num_views(config)
    teramacs = count_macs(model, config).total() * (views or 1) / 1e12
    name, macs = ('TFLOPs', teramacs) if teramacs >= 0.01 else ('GFLOPs', 1000 * teramacs)
    found[f'inference {name}'] = _number(macs) + ('' if views else ' a view')
    return found | {'parameters': f'{count_parameters(model).total():,}'}


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f'{value:.3g}'


def training_hours(work_dir: Path) -> float | None:
    """Sum the time of all iterations that a work dir's logs tell of, times the processes; None where there are none.

    Validation and the time between runs are left out; iterations that a killed run did twice count twice, as they took
    twice the time."""
    seconds = 0.0
    for log in sorted(work_dir.glob('*/vis_data/scalars.json')):
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        rows = [row for row in rows if 'loss' in row and 'time' in row]
        steps = [row['iter'] for row in rows]
        between = [after - before for before, after in itertools.pairwise(steps)]
        first = min(steps[:1] + between[:1], default=0)  # a run that was resumed does not begin at 0
        seconds += num_processes(log.parents[1]) * sum(
            row['time'] * count for row, count in zip(rows, [first, *between])
        )
    return seconds / 3600 or None


def num_processes(run: Path) -> int:
    """Find the number of processes in MMEngine's text log; 1 where it does not tell."""
    told = [re.search(r'GPU number: (\d+)', log.read_text(errors='replace')) for log in run.glob('*.log')]
    return next((int(match[1]) for match in told if match), 1)


def num_views(config: Config) -> int | None:
    """Count the views of a test video, clips times crops; None where its length decides, or nothing tells."""
    transforms = config.test_dataloader.dataset.get('pipeline') or config.get('test_pipeline') or []
    if not transforms or any(transform.get('start') == 'cover' for transform in transforms):
        return None
    clips, crops = (max(one.get(name, 1) for one in transforms) for name in ('num_clips', 'num_crops'))
    return clips * crops
