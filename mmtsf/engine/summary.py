"""Say in a few lines what a run is: its data, its model, its batch and schedule."""

import os
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.runner import Runner

from mmtsf import compat
from mmtsf.engine.runner.bare_model import bare_model
from mmtsf.models import TimeSformer
from mmtsf.utils.locations import is_address
from mmtsf.utils.text import counted, scaled, shorten, without_secrets

#: Videos of a list that are looked for on the disk, at most
LOOKED_FOR = 2000
#: Updates below which a training is warned of
FEW_UPDATES = 100


def training_summary(runner: Runner) -> Iterator[str]:
    """What is trained on what, for how long, and where the log is."""
    yield f'data to train on: {data_words(runner.train_dataloader.dataset)}'
    if runner.val_loop is not None:
        yield f'data to validate with: {data_words(runner.val_dataloader.dataset, named=False)}'
    yield f'model: {model_words(runner)}, {start_words(runner)}'
    yield from filter(None, getattr(runner, 'chosen', ()))
    yield f'schedule: {schedule_words(runner)}'
    yield from few_updates(runner)


def test_summary(runner: Runner) -> Iterator[str]:
    """What is tested on what."""
    yield f'data to test on: {data_words(runner.test_dataloader.dataset)}'
    yield f'model: {model_words(runner)}, {start_words(runner)}'


def data_words(dataset: Any, named: bool = True) -> str:
    """Number of videos and classes, and of the videos that are there and that are known to be broken."""
    number = len(dataset)
    classes = list((getattr(dataset, 'metainfo', None) or {}).get('classes') or ())
    words = counted(number, 'video')
    if classes and named:
        words += f' of {counted(len(classes), "class")} ({shorten(map(str, classes))})'
    if not hasattr(dataset, 'video_dir'):  # another project's
        return words
    broken = f', {len(dataset.left_out)} left out as broken' if dataset.left_out else ''
    if hasattr(dataset, 'shards'):
        return f'{words} in {counted(len(dataset.shards), "shard")} of {without_secrets(str(dataset.folder))}{broken}'
    if is_address(dataset.video_dir):  # where each would be a request
        return f'{words} in {without_secrets(str(dataset.video_dir))}{broken}'
    places = range(0, number, -(-number // LOOKED_FOR))
    found = sum(os.path.exists(dataset.get_data_info(place)['filename']) for place in places)
    looked = '' if len(places) == number else f' of {len(places)} that were looked for'
    return f'{words}, {found}{looked} found in {dataset.video_dir}{broken}'


def model_words(runner: Runner) -> str:
    """Name and size of the model, its clips and its device."""
    model = bare_model(runner)
    total = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    backbone = next((module for module in model.modules() if isinstance(module, TimeSformer)), None)
    config = runner.cfg.get('model', {}).get('backbone', {})
    words = type(backbone or model).__name__
    if backbone is not None:
        scheme = config.get('attention', {})
        words += f' with {scheme.get("type", scheme)}' if isinstance(scheme, dict) else f' with {scheme}'
        words += f', clips of {config.get("num_frames", 8)} frames of {config.get("img_size", 224)} pixels'
    words += f', {scaled(total)} parameters'
    if any(type(hook).__name__ == 'FuseHook' for hook in runner.hooks):
        words += ' after fusing'
    if trained < total and compat.is_training(runner):
        words += f' ({scaled(trained)} trained)'
    return f'{words}, on {device_words()}'


def device_words() -> str:
    """Name of the device that this process computes on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return 'the CPU' if get_device() == 'cpu' else get_device()


def start_words(runner: Runner) -> str:
    """Where the weights come from."""
    if source := compat.resumed_checkpoint(runner):
        return f'resumed from {source}'
    config = runner.cfg.get('model', {})
    starts = [(part.get('init_cfg') or {}) for part in (config, config.get('backbone', {})) if isinstance(part, dict)]
    named = [start.get('checkpoint') for start in starts if isinstance(start, dict)]
    source = next(filter(None, [runner.cfg.get('load_from'), *named]), None)
    return f'weights of {without_secrets(str(source))}' if source else 'from random weights'


def schedule_words(runner: Runner) -> str:
    """Epochs, or iterations, and the learning rate."""
    length = len(runner.train_dataloader)
    if by_epoch(runner):
        begun = f', {runner.epoch} done' if runner.epoch else ''
        epochs = runner.cfg.get('train_cfg', {}).get('max_epochs') or runner.max_epochs
        words = f'{counted(epochs, "epoch")} of {counted(length, "iteration")}{begun}'
    else:
        words = counted(runner.max_iters, 'iteration')
    optimizer = getattr(runner.optim_wrapper, 'optimizer', None)  # there may be several
    if optimizer is not None:
        highest = max(group.get('initial_lr', group['lr']) for group in optimizer.param_groups)
        words += f', {type(optimizer).__name__} with a learning rate up to {_peak(runner, highest):.3g}'
    return words


def few_updates(runner: Runner) -> Iterator[str]:
    """Warn of a training that ends before it can have learned much."""
    epochs = runner.cfg.get('train_cfg', {}).get('max_epochs') or runner.max_epochs
    iterations = epochs * len(runner.train_dataloader) if by_epoch(runner) else runner.max_iters
    updates = -(-iterations // (runner.cfg.get('optim_wrapper', {}).get('accumulative_counts') or 1))
    if updates < FEW_UPDATES:
        yield (
            f'warning: {counted(updates, "update")} of the weights in all: expect little; a smaller '
            'global_batch_size, more max_epochs, more videos, or trained weights to start from (start=...) help'
        )


def by_epoch(runner: Runner) -> bool:
    """Whether a training counts its epochs."""
    return hasattr(runner.train_loop, 'run_epoch')


def _peak(runner: Runner, first: float) -> float:
    """Highest rate of a cycle's schedule, or the optimizer's."""
    schedules = runner.cfg.get('param_scheduler') or []
    schedules = schedules if isinstance(schedules, (list, tuple)) else [schedules]
    return max([schedule['eta_max'] for schedule in schedules if 'eta_max' in schedule], default=first)


def score_words(scores: dict[str, Any]) -> str:
    """Format metrics as one line; what is no number is left out."""
    return '  '.join(f'{name} {float(value):.4g}' for name, value in scores.items() if _is_number(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or (hasattr(value, 'ndim') and value.ndim == 0)
