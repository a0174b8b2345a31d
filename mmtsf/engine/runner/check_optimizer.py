"""Compare the optimizer's states in a checkpoint with the parameters that they are for."""

import inspect
import reprlib
from typing import Any

import torch
from mmengine.runner import Runner
from torch import Tensor, nn

from .run_record import RunRecord, flat, is_number, names_of

#: Kinds of numbers that an optimizer counts in
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
#: States that are sums of squares, or counters
NOT_NEGATIVE = {'acc_delta', 'exp_avg_sq', 'exp_inf', 'max_exp_avg_sq', 'square_avg', 'step', 'sum'}
NOT_NEGATIVE |= {'absmax1', 'absmax2', 'state2'}  # of 8-bit AdamW
#: What a state is: shape and kinds of numbers of a tensor; None for a number
Kinds = dict[str, tuple[tuple[int, ...], tuple[torch.dtype, ...]] | None]
#: Shape of a parameter by which the shapes of an optimizer's states are found out
SIZES = (2, 3, 5, 7, 11)
START_ANEW = 'start a new run from its weights: load_from instead of --resume'


def check_optimizer(runner: Runner, saved: Any, run: RunRecord) -> None:
    """Compare every state with its parameter; leave the states and the run's own settings in ``saved``."""
    optimizer = runner.optim_wrapper.optimizer
    _check_kind(runner, run)
    try:
        told, states = [list(group['params']) for group in saved['param_groups']], dict(saved['state'])
    except (TypeError, KeyError, ValueError, AttributeError):
        raise ValueError('cannot resume: the state of the optimizer is not one that PyTorch has written') from None
    groups, names = optimizer.state_dict()['param_groups'], names_of(runner)
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
        if fault := _fault(state, _kinds(optimizer, group, parameter)):
            raise ValueError(f"cannot resume: the optimizer's state of {name} {fault}; {START_ANEW}")
        states[place] = {key: _own(value, parameter, memory) for key, value in state.items()}
    if len(states) != found or found != (found if run.states is None else run.states):
        raise ValueError(
            f'cannot resume: the checkpoint has optimizer states of {len(states)} parameters, expected '
            f'{found if run.states is None else run.states}; {START_ANEW}'
        )
    saved.clear()
    saved.update(state=states, param_groups=groups, **scaler)


def _check_kind(runner: Runner, run: RunRecord) -> None:
    """Refuse another optimizer than the checkpoint's, as far as both are known."""
    kind, now = (dict(flat(x or {})).get('optim_wrapper.optimizer.type') for x in (run.settings, runner.cfg.to_dict()))
    if None not in (kind, now) and str(kind).split('.')[-1] != str(now).split('.')[-1]:
        raise ValueError(
            f'cannot resume: the optimizer is {now}, and was {kind} in the checkpoint; give that one, or {START_ANEW}'
        )


def _kinds(optimizer: Any, group: dict, parameter: Tensor) -> Kinds:
    """What an optimizer keeps of a parameter: as it says itself, or as it keeps of a small one of ``SIZES``."""
    if hasattr(optimizer, 'state_like'):
        own = optimizer.state_like(parameter)
        return {name: _kind(x, {}) for name, x in own.items()}
    options = inspect.signature(type(optimizer)).parameters
    twin = nn.Parameter(parameter.new_zeros(SIZES[: parameter.ndim]))
    twin.grad = torch.ones_like(twin)
    alike: Any = type(optimizer)(
        [twin], **{key: value for key, value in group.items() if key in options and key != 'params'}
    )
    alike.step()
    return {name: _kind(x, dict(zip(SIZES, parameter.shape))) for name, x in alike.state[twin].items()}


def _kind(value: Any, sizes: dict[int, int]) -> tuple[tuple[int, ...], tuple[torch.dtype, ...]] | None:
    if not isinstance(value, Tensor):
        return None
    kinds = FLOATS if value.is_floating_point() else (value.dtype,)
    return tuple(sizes.get(size, size) for size in value.shape), kinds


def _fault(state: Any, expected: Kinds) -> str | None:
    """What is wrong with the state of a parameter, None if it is what the optimizer would have made."""
    if not isinstance(state, dict) or set(state) != set(expected):
        found = sorted(map(str, state)) if isinstance(state, dict) else type(state).__name__
        return f'has {found}, expected {sorted(expected)}'
    for name, value in state.items():
        if (kind := expected[name]) is None:
            if not is_number(value):
                return f'has {name} = {value!r}, expected a number'
            continue
        shape, kinds = kind
        if not isinstance(value, Tensor) or tuple(value.shape) != shape or value.dtype not in kinds:
            found = f'{value.dtype} {tuple(value.shape)}' if isinstance(value, Tensor) else reprlib.repr(value)
            return f'has {name} = {found}, expected {"numbers" if kinds is FLOATS else kinds[0]} {shape}'
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
    if not (isinstance(state, dict) and state.keys() == own.keys() and all(map(is_number, state.values()))):
        raise ValueError(f"cannot resume: the loss's scaler has {state!r}, expected numbers for {list(own)}")
    return dict(loss_scaler=state)
