"""Compare a checkpoint with the run that resumes it, before anything of it is loaded.

A resume takes from a checkpoint what training has made: weights, averages, the optimizer's states, the log, how far it
was. What the config says, the config says: rates and other settings of the optimizer, and the schedule, which is run
through again up to the iteration where the checkpoint was written.
"""

from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import EMAHook
from mmengine.logging import HistoryBuffer
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor

from mmtsf.utils.text import counted, shorten
from mmtsf.weights import Weights, classes_of, not_finite

from .bare_model import bare_model
from .check_classes import first_difference
from .check_optimizer import FLOATS, START_ANEW, check_optimizer
from .checkpoint_files import CheckpointFiles
from .run_record import RunRecord, differences, is_count, is_number, is_text, plain_settings

#: What a message hub holds
HUB = ('log_scalars', 'runtime_info', 'resumed_keys')


def check(runner: Runner, checkpoint: dict, weights: Weights) -> RunRecord:
    """Refuse a checkpoint from which the run cannot go on, and log how its config differs from the run's.

    Args:
        runner (Runner): Runner with model, optimizer and schedule built.
        checkpoint (dict): From :func:`mmtsf.weights.read_checkpoint`. Of its optimizer the states alone are left, of
            its schedule nothing.
        weights (Weights): Its weights.

    Returns:
        RunRecord: What it tells of its run.

    Raises:
        ValueError: If something does not fit, with the remedy.
    """
    meta = checkpoint['meta']
    run = RunRecord.parse(meta)
    _check_states(runner, checkpoint, weights)
    _check_weights(runner, checkpoint, weights)
    _check_batch(runner, run)
    _check_seed(runner, meta)
    _check_data(runner, checkpoint, run)
    _check_progress(runner, meta, run)
    check_optimizer(runner, checkpoint['optimizer'], run)
    _check_log(runner, checkpoint)
    checkpoint.pop('param_schedulers', None)  # see run_through
    for line in differences(run.settings, plain_settings(runner.cfg.to_dict())):
        runner.logger.warning(f'resuming with another setting: {line}')
    return run


def _check_states(runner: Runner, checkpoint: dict, weights: Weights) -> None:
    """Refuse a checkpoint without states of one optimizer."""
    if 'optimizer' not in checkpoint or weights.origin != 'mmtsf':
        raise ValueError(
            f'cannot resume from {weights.origin} weights: this file has no state of the optimizer; start from it with '
            'load_from'
        )
    if isinstance(runner.optim_wrapper, OptimWrapperDict):
        raise ValueError(
            'cannot resume: the run has several optimizers, whose states are not compared; leave out '
            f'CheckpointFormatHook, so that it is resumed as MMEngine does, or {START_ANEW}'
        )


def next_epoch(epoch: int, iteration: int, run: RunRecord, max_epochs: int) -> int:
    """Number of the first epoch that a checkpoint has not begun, for data that are not those of its epochs.

    Raises:
        ValueError: If it is behind the last one.
    """
    if run.epoch_length is None or iteration != epoch * run.epoch_length:
        epoch += 1
    if epoch >= max_epochs:
        raise ValueError(f'cannot resume with --new-data: no epoch is left of {max_epochs}; set max_epochs to more')
    return epoch


def _check_weights(runner: Runner, checkpoint: dict, weights: Weights) -> None:
    """Refuse weights and averages of other names or shapes than the model's."""
    _compare('weights', weights.state, bare_model(runner).state_dict())
    saved = checkpoint.get('ema_state_dict')
    if saved is None:
        return
    averaged = next((hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)), None)
    if averaged is None:
        raise ValueError(
            'cannot resume: the checkpoint holds averaged weights (EMAHook), and this config averages none; add the '
            f'hook to custom_hooks, or {START_ANEW}'
        )
    _compare('averaged weights', saved if isinstance(saved, dict) else {}, averaged.state_dict())
    if broken := not_finite(saved):
        raise ValueError(f'cannot resume: the averaged weights {shorten(broken)} are not finite; take an earlier one')


def _compare(what: str, saved: dict, expected: dict[str, Tensor]) -> None:
    kinds = {key: _kind(value) for key, value in saved.items()}
    other = [f'{key} {kinds.get(key)}' for key, value in expected.items() if kinds.get(key) != _kind(value)]
    other += [f'{key}, which the model lacks' for key in saved if key not in expected]
    if other:
        raise ValueError(
            f'cannot resume: the model of this config has other {what} than the checkpoint, which has '
            f'{shorten(other, 3)}; give the config it was trained with, or {START_ANEW}'
        )


def _kind(value: Any) -> Any:
    """Shape and kind of a tensor: numbers of any width, or counts."""
    if not isinstance(value, Tensor):
        return None
    kind = 'numbers' if value.dtype in FLOATS else str(value.dtype)
    if value.dtype is torch.int64 and (value < 0).any():  # steps of an average
        kind = 'negative counts'
    return tuple(value.shape), kind


def _check_batch(runner: Runner, run: RunRecord) -> None:
    """Refuse other iterations than those that the checkpoint has counted."""
    now, now_videos = runner.world_size, runner.train_dataloader.batch_size
    was, videos = run.batch or (now, now_videos)
    total = was * videos
    if total != now * now_videos:
        batch_size = f'--cfg-options train_dataloader.batch_size={total // now}'
        raise ValueError(
            f'cannot resume: an iteration was {counted(was, "process")} x {counted(videos, "clip")} when the '
            f'checkpoint was written, and is {now} x {now_videos} now; give '
            + (f'a number of processes that divides {total}' if total % now else batch_size)
        )


def _check_seed(runner: Runner, meta: dict) -> None:
    """Refuse another seed, by which the rest of an epoch would be other videos; none is the checkpoint's."""
    was, now = meta.get('seed'), (runner.cfg.get('randomness') or {}).get('seed')
    if was is not None and not is_count(was, 0):
        raise ValueError(f'cannot resume: the seed of the checkpoint is {was!r}, expected a number')
    if None not in (was, now) and was != now:
        raise ValueError(f'cannot resume: the seed is {now}, and was {was} in the checkpoint; give --seed {was}')


def _check_data(runner: Runner, checkpoint: dict, run: RunRecord) -> None:
    """Refuse other classes, and other videos unless they were asked for."""
    dataset = runner.train_dataloader.dataset
    classes = list(getattr(dataset, 'metainfo', {}).get('classes') or ())
    named = classes_of(checkpoint, len(classes)) if classes else None
    if named and (found := first_difference(named, classes)):
        at, was_class, is_class = found
        raise ValueError(
            f'cannot resume: class {at} is {is_class!r}, and was {was_class!r} in the checkpoint; give the classes in '
            f'the order it was trained with, or {START_ANEW}'
        )
    if runner.cfg.get('new_data') or not _has_other_data(runner, run):
        return
    was, now = run.videos, len(dataset)
    changed = f'{now} videos, and had {was}' if was != now else f'other videos or labels than the {was} that it had'
    raise ValueError(
        f'cannot resume: the training set has {changed} when the checkpoint was written; give the one it was trained '
        'with, or go on with this one at the next epoch: --new-data'
    )


def takes_new_data(runner: Runner, run: RunRecord) -> bool:
    """Whether a resume goes on at the next epoch, with data that are not the checkpoint's, as far as it tells."""
    return bool(runner.cfg.get('new_data')) and (run.videos is None or _has_other_data(runner, run))


def _has_other_data(runner: Runner, run: RunRecord) -> bool:
    """Whether the training set is known to be another one than a checkpoint's."""
    dataset = runner.train_dataloader.dataset
    now = (len(dataset), getattr(dataset, 'digest', None))
    return any(None not in pair and pair[0] != pair[1] for pair in zip((run.videos, run.digest), now))


def _check_progress(runner: Runner, meta: dict, run: RunRecord) -> None:
    """Refuse a count of iterations that is not within the epoch it tells, or behind the end."""
    epoch: Any = meta.get('epoch')
    iteration: Any = meta.get('iter')
    length = len(runner.train_dataloader)
    if not (is_count(epoch, 0) and is_count(iteration, 0)):
        raise ValueError(f'cannot resume: the checkpoint is of epoch {epoch!r} and iteration {iteration!r}')
    if takes_new_data(runner, run) or not isinstance(runner.train_loop, EpochBasedTrainLoop):
        return
    if run.epoch_length not in (None, length) or not epoch * length <= iteration <= (epoch + 1) * length:
        raise ValueError(
            f'cannot resume: an epoch has {counted(length, "iteration")}, and iteration {iteration} was in epoch '
            f'{epoch + 1} of {run.epoch_length or "others"} when the checkpoint was written; give the training set '
            'and drop_last it was trained with, or for another set --new-data'
        )
    if iteration > runner.max_epochs * length:
        raise ValueError(
            f'cannot resume: {iteration} iterations are done, and max_epochs={runner.max_epochs} ends after '
            f'{runner.max_epochs * length}; set it to more, or {START_ANEW}'
        )


def _check_log(runner: Runner, checkpoint: dict) -> None:
    """Refuse a message hub of anything but histories and scores, and leave out files that are not in the work dir: the
    best checkpoint is removed when a better one is there."""
    hub = checkpoint.setdefault('message_hub', {})
    fits = isinstance(hub, dict) and all(isinstance(hub.setdefault(key, {}), dict) for key in HUB)
    fits = fits and all(map(is_text, (key for name in HUB for key in hub[name])))
    fits = fits and all(isinstance(history, HistoryBuffer) for history in hub['log_scalars'].values())
    if not fits or not all(is_number(v) for k, v in hub['runtime_info'].items() if k.startswith('best_score')):
        raise ValueError('cannot resume: the log of the checkpoint is not one that a run has written')
    info, folder = hub['runtime_info'], CheckpointFiles.of(runner.work_dir, runner.hooks).folder
    for key in [key for key, path in info.items() if key.startswith('best_ckpt') and not _is_own_best(path, folder)]:
        del info[key]
    if 'keep_ckpt_ids' in info and not all(map(is_count, info['keep_ckpt_ids'])):
        del info['keep_ckpt_ids']
    known = hub['log_scalars'].keys() | hub['runtime_info'].keys()
    hub['resumed_keys'] = {key: True for key, value in hub['resumed_keys'].items() if key in known and value is True}


def _is_own_best(path: Any, folder: Path) -> bool:
    return is_text(path) and Path(path).name.startswith('best_') and Path(path).parent == folder
