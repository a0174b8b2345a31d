"""Resume a training: compare the checkpoint with the run before anything of it is loaded.

A resume takes from a checkpoint what training has made: weights, averages, the optimizer's states, the log, how far it
was. What the config says, the config says: rates and other settings of the optimizer, and the schedule, which is run
through again up to the iteration where the checkpoint was written.
"""

import inspect
import math
import reprlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import EMAHook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.optim import Optimizer

from mmtsf.utils.text import shorten
from mmtsf.weights import Weights, classes_of, not_finite

from .bare_model import bare_model

#: Keys of a config in which a run and its continuation may differ without a word
OWN = ('experiment_name', 'launcher', 'load_from', 'model_wrapper_cfg', 'new_data', 'resume', 'work_dir')
UNSET = 'not set'
#: What a message hub holds
HUB = ('log_scalars', 'runtime_info', 'resumed_keys')
#: Kinds of numbers that an optimizer counts in
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
#: States that are sums of squares, or counters
NOT_NEGATIVE = {'acc_delta', 'exp_avg_sq', 'exp_inf', 'max_exp_avg_sq', 'square_avg', 'step', 'sum'}
#: Shape of a parameter by which the shapes of an optimizer's states are found out
SIZES = (2, 3, 5, 7, 11)
START_ANEW = 'start a new run from its weights: load_from instead of --resume'


@dataclass(frozen=True)
class RunRecord:
    """What a checkpoint tells of its run; None is what it does not tell, as those of version 0.1.

    Args:
        id (str): Name of the run, the same in all its checkpoints.
        batch (list[int]): Processes, and videos of each in an iteration.
        epoch_length (int): Iterations of an epoch.
        videos (int): Videos of the training set.
        digest (str): Of their paths and labels.
        parameters (list[str]): Names of the parameters in the order in which the optimizer counts them.
        states (int): Parameters of which the optimizer has a state.
        settings (dict): The config, in plain values.
    """

    id: str | None = None
    batch: list[int] | None = None
    epoch_length: int | None = None
    videos: int | None = None
    digest: str | None = None
    parameters: list[str] | None = None
    states: int | None = None
    settings: dict | None = None

    @classmethod
    def of(cls, runner: Runner) -> 'RunRecord':
        """Describe the run of a runner that trains."""
        loader = runner.train_dataloader
        return cls(
            id=getattr(runner, 'run_id', None),
            batch=[runner.world_size, loader.batch_size],
            epoch_length=len(loader),
            videos=len(loader.dataset),
            digest=getattr(loader.dataset, 'digest', None),
            parameters=_names(runner),
            states=len(runner.optim_wrapper.optimizer.state),
            settings=_plain(runner.cfg.to_dict()),
        )

    @classmethod
    def parse(cls, meta: dict) -> 'RunRecord':
        """Read the record of a checkpoint's ``meta``.

        Raises:
            ValueError: If it is not one that a run has written.
        """
        told = meta.get('run', dict(batch=meta.get('batch')))
        fits = dict(
            id=_is_text,
            batch=lambda value: isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_count, value)),
            epoch_length=_is_count,
            videos=_is_count,
            digest=_is_text,
            parameters=lambda value: isinstance(value, list) and all(map(_is_text, value)),
            states=lambda value: _is_count(value, 0),
            settings=lambda value: isinstance(value, dict),
        )
        for name in fits if isinstance(told, dict) else ('run',):
            value = told.get(name) if isinstance(told, dict) else told
            if name == 'run' or (value is not None and not fits[name](value)):
                raise ValueError(
                    f'cannot resume: {name} is {reprlib.repr(value)} in the checkpoint; no run writes that'
                )
        return cls(**{name: told.get(name) for name in fits})


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
    if 'optimizer' not in checkpoint or weights.origin != 'mmtsf':
        raise ValueError(
            f'cannot resume from {weights.origin} weights: this file has no state of the optimizer; start from it with '
            'load_from'
        )
    _check_weights(runner, checkpoint, weights)
    _check_batch(runner, run)
    _check_seed(runner, meta)
    _check_data(runner, checkpoint, run)
    _check_progress(runner, meta, run)
    _check_optimizer(runner, checkpoint['optimizer'], run)
    _check_log(runner, checkpoint)
    checkpoint.pop('param_schedulers', None)  # see run_through
    for line in differences(run.settings, _plain(runner.cfg.to_dict())):
        runner.logger.warning(f'resuming with another setting: {line}')
    return run


def differences(before: dict | None, now: dict) -> Iterator[str]:
    """What two configs say differently, a line for each key; nothing where the first is not known."""
    if before is None:
        return
    was, is_now = (dict(_flat({k: v for k, v in values.items() if k not in OWN})) for values in (before, now))
    for key in sorted(was.keys() | is_now.keys()):
        if was.get(key, UNSET) != is_now.get(key, UNSET):
            old, new = (_shown(values.get(key, UNSET)) for values in (was, is_now))
            yield f'{_shown(key)} is {new}, and was {old} in the checkpoint'


def _shown(value: Any) -> str:
    """A value for a line of a log, whatever a file has in its place."""
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) <= 300 else f'{text[:300]}...'


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


def run_through(schedulers: Sequence[Any], epochs: int, iterations: int, epoch_length: int) -> None:
    """Bring newly built schedules to where they are after so many epochs and iterations.

    Raises:
        ValueError: If one follows a metric, so that its course is not known.
    """
    for scheduler in schedulers:
        if getattr(scheduler, 'need_val_args', False):
            raise ValueError(
                f'cannot resume: {type(scheduler).__name__} follows a metric, whose values of before are not kept; '
                f'take another schedule, or {START_ANEW}'
            )
    by_epoch, by_iteration = ([s for s in schedulers if s.by_epoch is kind] for kind in (True, False))
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='Detected call of `scheduler.step')
        for epoch in range(epochs + 1):
            steps = epoch_length if epoch < epochs else iterations - epochs * epoch_length
            for _ in range(steps if by_iteration else 0):
                for scheduler in by_iteration:
                    scheduler.step()
            for scheduler in by_epoch if epoch < epochs else ():
                scheduler.step()


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
            f'cannot resume: an iteration was {was} processes x {videos} clips when the checkpoint was written, '
            f'and is {now} x {now_videos} now; give '
            + (f'a number of processes that divides {total}' if total % now else batch_size)
        )


def _check_seed(runner: Runner, meta: dict) -> None:
    """Refuse another seed, by which the rest of an epoch would be other videos; none is the checkpoint's."""
    was, now = meta.get('seed'), (runner.cfg.get('randomness') or {}).get('seed')
    if was is not None and not _is_count(was, 0):
        raise ValueError(f'cannot resume: the seed of the checkpoint is {was!r}, expected a number')
    if None not in (was, now) and was != now:
        raise ValueError(f'cannot resume: the seed is {now}, and was {was} in the checkpoint; give --seed {was}')


def _check_data(runner: Runner, checkpoint: dict, run: RunRecord) -> None:
    """Refuse other classes, and other videos unless they were asked for."""
    dataset = runner.train_dataloader.dataset
    classes = list(getattr(dataset, 'metainfo', {}).get('classes') or ())
    named = classes_of(checkpoint, len(classes)) if classes else None
    if named and named != classes:
        at, (was_class, is_class) = next(
            (place, pair) for place, pair in enumerate(zip_longest(named, classes)) if pair[0] != pair[1]
        )
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
    if not (_is_count(epoch, 0) and _is_count(iteration, 0)):
        raise ValueError(f'cannot resume: the checkpoint is of epoch {epoch!r} and iteration {iteration!r}')
    if takes_new_data(runner, run):
        return
    if run.epoch_length not in (None, length) or not epoch * length <= iteration <= (epoch + 1) * length:
        raise ValueError(
            f'cannot resume: an epoch has {length} iterations, and iteration {iteration} was in epoch {epoch + 1} of '
            f'{run.epoch_length or "others"} when the checkpoint was written; give the training set and drop_last it '
            'was trained with, or for another set --new-data'
        )
    if iteration > runner.max_epochs * length:
        raise ValueError(
            f'cannot resume: {iteration} iterations are done, and max_epochs={runner.max_epochs} ends after '
            f'{runner.max_epochs * length}; set it to more, or {START_ANEW}'
        )


def _check_optimizer(runner: Runner, saved: Any, run: RunRecord) -> None:
    """Compare every state with its parameter; leave the states and the run's own settings in ``saved``."""
    optimizer = runner.optim_wrapper.optimizer
    kind, now = (dict(_flat(x or {})).get('optim_wrapper.optimizer.type') for x in (run.settings, runner.cfg.to_dict()))
    if None not in (kind, now) and str(kind).split('.')[-1] != str(now).split('.')[-1]:
        raise ValueError(
            f'cannot resume: the optimizer is {now}, and was {kind} in the checkpoint; give that one, or {START_ANEW}'
        )
    try:
        told, states = [list(group['params']) for group in saved['param_groups']], dict(saved['state'])
    except (TypeError, KeyError, ValueError, AttributeError):
        raise ValueError('cannot resume: the state of the optimizer is not one that PyTorch has written') from None
    groups, names = optimizer.state_dict()['param_groups'], _names(runner)
    if told != [group['params'] for group in groups] or run.parameters not in (None, names):
        raise ValueError(
            'cannot resume: the optimizer has other parameters, or in other groups, than when the checkpoint was '
            f'written; give the config it was trained with (what is frozen, paramwise_cfg), or {START_ANEW}'
        )
    scaler = _loss_scaler(runner.optim_wrapper, saved)
    found, memory = 0, set[int]()
    owners = ((group, parameter) for group in optimizer.param_groups for parameter in group['params'])
    for place, (name, (group, parameter)) in enumerate(zip(names, owners)):
        if (state := states.get(place)) is None:
            continue
        found += 1
        if fault := _fault(state, tuple(parameter.shape), _template(optimizer, group, parameter)):
            raise ValueError(f"cannot resume: the optimizer's state of {name} {fault}; {START_ANEW}")
        states[place] = {key: _own(value, parameter, memory) for key, value in state.items()}
    if len(states) != found or found != (found if run.states is None else run.states):
        raise ValueError(
            f'cannot resume: the checkpoint has optimizer states of {len(states)} parameters, expected '
            f'{found if run.states is None else run.states}; {START_ANEW}'
        )
    saved.clear()
    saved.update(state=states, param_groups=groups, **scaler)


def _template(optimizer: Optimizer, group: dict, parameter: Tensor) -> dict[str, tuple[int, ...] | None]:
    """Shapes of the states that an optimizer keeps of a parameter of ``SIZES``; None for what is no tensor."""
    options = inspect.signature(type(optimizer)).parameters
    twin = nn.Parameter(parameter.new_zeros(SIZES[: parameter.ndim]))
    twin.grad = torch.ones_like(twin)
    alike: Any = type(optimizer)(
        [twin], **{key: value for key, value in group.items() if key in options and key != 'params'}
    )
    alike.step()
    return {name: tuple(x.shape) if isinstance(x, Tensor) else None for name, x in alike.state[twin].items()}


def _fault(state: Any, shape: tuple[int, ...], template: dict[str, tuple[int, ...] | None]) -> str | None:
    """What is wrong with the state of a parameter of a shape, None if it is what the optimizer would have made."""
    if not isinstance(state, dict) or set(state) != set(template):
        found = sorted(map(str, state)) if isinstance(state, dict) else type(state).__name__
        return f'has {found}, expected {sorted(template)}'
    for name, value in state.items():
        small = template[name]
        if small is None:
            if not _is_number(value):
                return f'has {name} = {value!r}, expected a number'
            continue
        expected = tuple(dict(zip(SIZES, shape)).get(size, size) for size in small)
        if not isinstance(value, Tensor) or tuple(value.shape) != expected or value.dtype not in FLOATS:
            found = f'{value.dtype} {tuple(value.shape)}' if isinstance(value, Tensor) else reprlib.repr(value)
            return f'has {name} = {found}, expected numbers {expected}'
        if not value.isfinite().all() or (name in NOT_NEGATIVE and (value < 0).any()):
            return f'has {name} that is not finite, or negative'
    return None


def _own(value: Any, parameter: Tensor, memory: set[int]) -> Any:
    """A state in memory of its own that lies as its parameter does: an optimizer goes through both as through one line,
    and a file may let several share the same numbers."""
    if not isinstance(value, Tensor):
        return value
    like = parameter if value.shape == parameter.shape else value.new_empty(value.shape)
    storage = value.untyped_storage()
    if value.stride() != like.stride() or storage.nbytes() != value.nbytes or storage.data_ptr() in memory:
        value = torch.empty_like(like, dtype=value.dtype, device=value.device).copy_(value)
    memory.add(value.untyped_storage().data_ptr())
    return value


def _loss_scaler(wrapper: Any, saved: dict) -> dict:
    """State of the loss's scaler, where the run has one; its own where the checkpoint has none."""
    scaler = getattr(wrapper, 'loss_scaler', None)
    if scaler is None:
        return {}
    own = scaler.state_dict()
    state = saved.get('loss_scaler', own)
    if not (isinstance(state, dict) and state.keys() == own.keys() and all(map(_is_number, state.values()))):
        raise ValueError(f"cannot resume: the loss's scaler has {state!r}, expected numbers for {list(own)}")
    return dict(loss_scaler=state)


def _check_log(runner: Runner, checkpoint: dict) -> None:
    """Refuse a message hub of anything but histories and scores, and leave out files that are not in the work dir: the
    best checkpoint is removed when a better one is there."""
    hub = checkpoint.setdefault('message_hub', {})
    fits = isinstance(hub, dict) and all(isinstance(hub.setdefault(key, {}), dict) for key in HUB)
    fits = fits and all(map(_is_text, (key for name in HUB for key in hub[name])))
    fits = fits and all(isinstance(history, HistoryBuffer) for history in hub['log_scalars'].values())
    if not fits or not all(_is_number(v) for k, v in hub['runtime_info'].items() if k.startswith('best_score')):
        raise ValueError('cannot resume: the log of the checkpoint is not one that a run has written')
    for key, path in list(hub['runtime_info'].items()):
        if key.startswith('best_ckpt') and not _is_own_best(path, Path(runner.work_dir)):
            del hub['runtime_info'][key]
    known = hub['log_scalars'].keys() | hub['runtime_info'].keys()
    hub['resumed_keys'] = {key: True for key, value in hub['resumed_keys'].items() if key in known and value is True}


def _is_own_best(path: Any, work_dir: Path) -> bool:
    return _is_text(path) and Path(path).name.startswith('best_') and Path(path).parent == work_dir


def _names(runner: Runner) -> list[str]:
    """Names of the parameters in the order in which the optimizer counts them."""
    names: dict[Any, str] = {
        parameter: name if parameter.requires_grad else f'{name} (frozen)'
        for name, parameter in bare_model(runner).named_parameters()
    }
    return [names.get(p, '') for group in runner.optim_wrapper.optimizer.param_groups for p in group['params']]


def _plain(value: Any) -> Any:
    """A config's value as dicts, lists, numbers and texts."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)


def _flat(value: Any, name: str = '') -> Iterator[tuple[str, Any]]:
    """Dotted names and values; a list is one value."""
    if not isinstance(value, dict):
        yield name, value
        return
    for key, item in value.items():
        yield from _flat(item, f'{name}.{key}' if name else str(key))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) < 1000


def _is_count(value: Any, least: int = 1) -> bool:
    return type(value) is int and value >= least


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
