"""Load weights into a model that may have other steps, frames, resolution or classes."""

import re
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mmtsf.utils.text import shorten

from .adapters import fitted
from .fitting import fitting_words
from .load_report import Report
from .told import check_told
from .translate import OURS, Weights

HEAD = 'cls_head.'
BACKBONE = 'backbone.'
STEP = re.compile(r'(backbone\.blocks\.\d+\.attention\.steps\.)(\w+)\.(.+)')
#: Weights that no model of ours which has a place for them goes without
COMMON = re.compile(
    r'backbone\.(embedding\.(cls|cls_position|space|time|registers|patch\.\w+|norm\.\w+)|norm\.\w+|'
    r'blocks\.\d+\.(norm\.\w+|mlp\.[023]\.\w+|attention\.steps\.\w+\.(norm|qkv|proj|scale|temporal_fc)\.\w+))'
)
ADDED_STEPS = ('image', 'own')
#: Options of a backbone that need or lack weights
PARTS = ('embedding', 'layer_scale', 'position', 'step', 'mlp')
RESIZES = ('smooth', 'nearest', 'released')
PREPROCESSING = ('same', 'own')
TABLES = ('backbone.embedding.space', 'backbone.embedding.time')


def load_weights(
    weights: Weights,
    model: nn.Module,
    may_start_fresh: bool = True,
    added_steps: str = 'image',
    resize: str = 'smooth',
    preprocessing: str = 'same',
) -> Report:
    """Load weights into a model.

    An image model starts a video model as in the paper: steps that it lacks copy its attention, and their
    ``temporal_fc`` keeps its zeros; the time embedding and a head of another size keep their own start.

    Args:
        weights (Weights): Weights by our names.
        model (nn.Module): A recognizer, or its backbone alone.
        may_start_fresh (bool): Whether weights that the file lacks may keep the model's own start, as in fine-tuning.
            Defaults to True.
        added_steps (str): How attention steps start that the file lacks: ``'image'``, as copies of the image model's,
            or ``'own'``, at the model's own start. Defaults to ``'image'``.
        resize (str): How position tables of another size are resized: ``'smooth'``, bicubic over space and linear over
            time; ``'nearest'`` (the forward pass of the released code and Hugging Face); or ``'released'``, as the
            released code loads them, nearest in the table as one line, which scrambles places. Defaults to
            ``'smooth'``.
        preprocessing (str): How frames are normalised: ``'same'``, as the file tells, if it does, or ``'own'``, as the
            model's config says. Defaults to ``'same'``.

    Raises:
        ValueError: If the weights do not fit, or the model computes something else with them.
    """
    for name, value, known in (
        ('added_steps', added_steps, ADDED_STEPS),
        ('resize', resize, RESIZES),
        ('preprocessing', preprocessing, PREPROCESSING),
    ):
        if value not in known:
            raise ValueError(f'{name} is {value!r}, expected one of {known}')
    check_told(weights, model, preprocessing)
    state = dict(fitted(weights.state, weights.adapters, model, may_start_fresh))
    prefix = '' if hasattr(model, 'backbone') else BACKBONE
    target = {f'{prefix}{key}': value for key, value in model.state_dict().items()}
    told = weights.report
    report = Report(matched=told.matched, unused=list(told.unused), fresh=list(told.fresh))
    if prefix:
        state = {key: value for key, value in state.items() if not key.startswith(HEAD)}
    _name_image_step(state, target)
    if may_start_fresh:
        _drop_other_head(state, target)
        if added_steps == 'image':
            _copy_added_steps(state, target, report)
        report.fresh += [key for key in target if key not in state and _may_be_missing(key, target)]
    _resize_tables(state, target, resize, report, _embedding_of(model))
    _check(state, target, report, weights)
    model.load_state_dict({key[len(prefix) :]: value for key, value in state.items()}, strict=False)
    return report


def _name_image_step(state: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    """Rename the only step of an image model, or of space or joint attention, to the model's own name."""
    steps, wanted = (list(dict.fromkeys(m[2] for m in map(STEP.fullmatch, keys) if m)) for keys in (state, target))
    if len(steps) != 1 or steps[0] in wanted:
        return
    images_own = [step for step in wanted if not _is_added(step, target)]
    for key in [key for key in state if STEP.fullmatch(key)]:
        state[STEP.sub(rf'\g<1>{images_own[0]}.\g<3>', key)] = state.pop(key)


def _is_added(step: str, target: dict[str, Tensor]) -> bool:
    return f'backbone.blocks.0.attention.steps.{step}.temporal_fc.weight' in target


def _drop_other_head(state: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    for key in [key for key in state if key.startswith(HEAD)]:
        if key in target and target[key].shape != state[key].shape:
            del state[key]


def _copy_added_steps(state: dict[str, Tensor], target: dict[str, Tensor], report: Report) -> None:
    """Copy norm, qkv and proj of the file's only step to the steps that it lacks."""
    there = {m[2] for m in map(STEP.fullmatch, state) if m}
    if len(there) != 1:
        return
    for key in target:
        match = STEP.fullmatch(key)
        source = match and f'{match[1]}{next(iter(there))}.{match[3]}'
        if key not in state and source in state:
            state[key] = state[source].clone()
            report.copied.append(key)


def _may_be_missing(key: str, target: dict[str, Tensor]) -> bool:
    """Return whether ``key`` may keep its initialisation: the head, what an image model lacks, and what only a scheme
    or MLP of the user's own has."""
    match = STEP.fullmatch(key)
    added = match is not None and _is_added(match[2], target)
    return added or key.startswith(HEAD) or key == 'backbone.embedding.time' or COMMON.fullmatch(key) is None


def _embedding_of(model: nn.Module) -> Any:
    return getattr(getattr(model, 'backbone', model), 'embedding', None)


def _resize_tables(
    state: dict[str, Tensor], target: dict[str, Tensor], how: str, report: Report, embedding: Any
) -> None:
    antialias = getattr(embedding, 'antialias', False)
    for key in TABLES:
        if key not in state or key not in target or state[key].shape == target[key].shape:
            continue
        if state[key].ndim != target[key].ndim or not state[key].numel():
            continue  # no table, which the check names
        before, size = tuple(state[key].shape[1:-1]), tuple(target[key].shape[1:-1])
        if how == 'released' and len(size) == 2:
            line = _interpolate(state[key].flatten(1, 2), (size[0] * size[1],), 'nearest')
            state[key] = line.unflatten(1, size)
        else:
            smooth: dict = dict(mode='bicubic', antialias=antialias) if len(size) == 2 else dict(mode='linear')
            state[key] = _interpolate(state[key], size, **smooth if how == 'smooth' else dict(mode='nearest'))
        report.resized.append(f'{key} {_times(before)} -> {_times(size)}')


def _interpolate(table: Tensor, size: tuple[int, ...], mode: str, antialias: bool = False) -> Tensor:
    """Interpolate a table ``(1, ..., C)`` to ``(1, *size, C)``."""
    options: dict[str, Any] = {} if mode == 'nearest' else dict(align_corners=False, antialias=antialias)
    return F.interpolate(table.movedim(-1, 1).float(), size, mode=mode, **options).movedim(1, -1).to(table.dtype)


def _times(size: tuple[int, ...]) -> str:
    return ' x '.join(map(str, size))


def _remedy(weights: Weights) -> str:
    """Say which model takes the weights."""
    if weights.origin == OURS:
        return 'give the config it was trained with'
    parts = {name: weights.options[name] for name in PARTS if weights.options.get(name) is not None}
    words = ' '.join(f'{name}={value}' for name, value in parts.items())
    told = f', which has model.backbone of {words}' if parts else ''
    words = fitting_words(weights)
    return f'it is of a model of {weights.origin}{told}; set {words} for the architecture of published weights'


def _check(state: dict[str, Tensor], target: dict[str, Tensor], report: Report, weights: Weights) -> None:
    left_over = [key for key in state if key not in target]
    missing = [key for key in target if key not in state and key not in report.fresh]
    shapes = [
        f'{key}: {tuple(state[key].shape)} in the checkpoint, {tuple(value.shape)} in the model'
        for key, value in target.items()
        if key in state and state[key].shape != value.shape
    ]
    if left_over or missing or shapes:
        raise ValueError(
            f'the checkpoint does not fit the model of this config; {_remedy(weights)}\n'
            f'{len(missing)} weights are missing: {shorten(missing) or "none"}\n'
            f'{len(left_over)} are left over: {shorten(left_over) or "none"}\n'
            f'{len(shapes)} are of another size: ' + ('\n'.join(['', *shapes]) or 'none')
        )
