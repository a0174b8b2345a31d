"""Translate weights between our names and those of other origins."""

import math
import re
from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mmtsf.models.backbones.timesformer import FUSED_WEIGHTS
from mmtsf.models.old_names import rename
from mmtsf.utils.text import shorten

from .adapters import AdapterRecord
from .finite import not_finite
from .load_report import Report
from .origins import ORIGINS, POSITIONS, Origin, State
from .preprocessing import Preprocessing, from_hugging_face
from .record import Record

#: Where checkpoints keep their weights
CONTAINERS = (
    *('state_dict', 'model_state', 'model_state_dict', 'model', 'module', 'net', 'state_dict_ema', 'ema_state_dict'),
    *('model_ema', 'ema', 'teacher'),
)
#: What wrappers put before names: of several devices, of a compiler, of averages; Lightning's is put before all of them
WRAPPERS, LIGHTNING = re.compile(r'^((module|_orig_mod)\.)+|(?<=\.)_orig_mod\.'), 'model.'
#: Numbers that averages count in
COUNTERS = ('n_averaged', 'steps')
OURS = 'mmtsf'
#: What names of peft's adapters begin with, and what is said of them
PEFT_NAMES = 'base_model.model.'
OF_PEFT = (
    'adapters that peft has saved, of a model that is not ours; merge them into that model (merge_and_unload), save it '
    'and give that'
)
#: Weights of a model; one of 1,000 blocks with two steps has 18,000
MOST_WEIGHTS = 50_000
#: Weights that a model of whatever origin computes with: leading tokens, positions, norms before and within blocks
COMPUTED = re.compile(
    r'((model|backbone|encoder|visual|transformer|trunk|embeddings|timesformer|vit|deit|dinov2)\.){0,3}'
    r'((cls|reg|register|storage|distillation)_tokens?|pos_embed|(norm_pre|ln_pre|pre_layrnorm)\.\w+|'
    r'((res)?blocks|layers?)\.\d+\..+)'
)
#: Kinds of numbers that weights may be
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
#: Tensors by which our own files are known, of a whole model or of a backbone
MARKS = ('backbone.embedding.patch.weight', 'embedding.patch.weight')


@dataclass
class Weights:
    """Hold weights of some origin under our names.

    Args:
        state (dict[str, Tensor]): ``backbone.*`` and ``cls_head.*``.
        origin (str): Where they come from.
        scheme (str): ``divided``, ``joint``, ``space``, or ``image`` for an image model; ``''`` for our own.
        options (dict): Backbone options that the file tells besides its tensors; of our own files as they stand there,
            which :func:`backbone_config` does not trust.
        report (Report): What became of its keys.
        record (Record): What the file tells of preprocessing, labels and training.
        adapters (AdapterRecord, optional): What it tells of low-rank adapters, if it has some.
    """

    state: State
    origin: str
    scheme: str
    options: dict = field(default_factory=dict)
    report: Report = field(default_factory=Report)
    record: Record = field(default_factory=Record)
    adapters: AdapterRecord | None = None

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How frames become the model's input, if the file tells."""
        return self.record.preprocessing

    @property
    def multi_class(self) -> bool | None:
        """Whether a video may have several labels, if the file tells."""
        return self.record.multi_class


def translate(checkpoint: dict, origin: str | None = None, allow: tuple[str, ...] = ()) -> Weights:
    """Recognise the origin of a checkpoint by its keys, and translate the names of its weights to ours.

    Args:
        checkpoint (dict): As :func:`read_checkpoint` returns it.
        origin (str, optional): Name of the origin. Defaults to None: recognised.
        allow (tuple[str, ...]): Keys, as regular expressions, that may be left over. Defaults to ``()``.

    Raises:
        ValueError: If no origin has these keys, or some are left over.
    """
    state = tensors_of(checkpoint)
    inner = _inside_model(state)
    meta = checkpoint.get('meta')
    known = meta if isinstance(meta, dict) else {}
    adapters = AdapterRecord.parse(known.get('adapters'))
    if origin in (None, OURS) and (adapters or any(mark in inner for mark in MARKS)):
        if 'fused' in inner or 'backbone.fused' in inner:
            raise ValueError(FUSED_WEIGHTS)
        inner = {rename(key): value for key, value in _with_prefix(inner, 'backbone.').items()}
        weights = Weights(inner, OURS, '', known.get('backbone', {}), Report(matched=len(state)))
        weights.adapters = adapters
        weights.record = Record.parse(known)
        return _checked(weights)
    if origin == OURS:
        raise ValueError(f'these are not mmtsf weights: there is no {MARKS[0]} among {shorten(state)}')
    if origin not in (None, *ORIGINS):
        raise ValueError(f'origin is {origin!r}, expected one of {[OURS, *ORIGINS]}')
    candidates = [ORIGINS[origin]] if origin else list(ORIGINS.values())
    tables = [(candidate, scheme) for candidate in candidates for scheme in candidate.tables]
    states = [state] if inner is state else [state, inner]  # the released code's have the prefix, too
    readings = [reading for one in states for table in tables if (reading := _read(one, *table, allow)) is not None]
    readings.sort(key=lambda reading: (len(reading.report.left_over), len(reading.report.missing)))
    if not readings or not readings[0].report.matched or len(readings[0].report.left_over) > len(state) / 2:
        if any(key.startswith(PEFT_NAMES) for key in state):
            raise ValueError(f'these are {OF_PEFT}')
        names = ', '.join([OURS, *ORIGINS])
        raise ValueError(
            f'these weights are of no architecture that is known here ({names}); their keys are {shorten(state)}'
        )
    best = readings[0]
    told, config = ORIGINS[best.origin].told, checkpoint.get('huggingface')
    if told and config is not None:
        best.options |= told(config, best.scheme, best.state)  # first, as it knows what is of another kind of model
    _check_places(best)
    _split_positions(best.state)
    if told and config is not None:
        size = None if ORIGINS[best.origin].any_size else best.options.get('img_size', config.get('image_size'))
        has_head = 'cls_head.fc_cls.weight' in best.state
        best.record = Record.of_hugging_face(config, checkpoint.get('processors', {}), size, has_head)
    elif processors := checkpoint.get('processors'):
        best.record = Record(preprocessing=from_hugging_face(processors, None))
    return _checked(best)


def translate_back(state: State, origin: str, scheme: str) -> State:
    """Translate our weight names to those of another origin.

    Raises:
        ValueError: If the origin has no such attention, or no name for a key.
    """
    tables = ORIGINS[origin].tables
    if scheme not in tables:
        raise ValueError(f'{origin} has no {scheme} attention; it has {", ".join(tables)}')
    state = _join_positions(state)
    names = {key: tables[scheme].to_theirs(key) for key in state}
    if nameless := [key for key, name in names.items() if name is None]:
        raise ValueError(f'{origin} has no place for {len(nameless)} weights: {shorten(nameless)}')
    return {str(names[key]): value for key, value in state.items()}


def tensors_of(checkpoint: dict) -> State:
    """Return the weights in a checkpoint, without the prefixes of wrappers.

    Raises:
        ValueError: If there are none, or they are no dense tensors with names of their own.
    """
    tensors = _tensors_in(checkpoint)
    if not tensors:
        raise ValueError(f'there are no weights in this checkpoint; its keys are {shorten(checkpoint)}')
    if len(tensors) > MOST_WEIGHTS:
        raise ValueError(
            f'there are {len(tensors):,} weights in this checkpoint, more than the {MOST_WEIGHTS:,} of any model'
        )
    odd = [key for key, value in tensors.items() if not isinstance(key, str) or value.layout != torch.strided]
    if odd := odd or [key for key, value in tensors.items() if value.is_quantized or value.is_meta]:
        raise ValueError(f'the weights {shorten(odd)} have no name, or are sparse, quantised or without numbers')
    if odd := [key for key, value in tensors.items() if value.nbytes > value.untyped_storage().nbytes()]:
        raise ValueError(
            f'the weights {shorten(odd)} repeat their numbers, as expand() does; save clones of them (tensor.clone())'
        )
    tensors = {key: value for key, value in tensors.items() if key not in COUNTERS or value.ndim}
    names = [WRAPPERS.sub('', name) for name in tensors]
    if len(set(names)) < len(names):
        raise ValueError(f'weights of this checkpoint have the same names: {shorten(_twice(names))}')
    return dict(zip(names, tensors.values()))


def _tensors_in(checkpoint: dict, depth: int = 2) -> State:
    inner = [checkpoint[name] for name in CONTAINERS if isinstance(checkpoint.get(name), dict)]
    found = (_tensors_in(one, depth - 1) for one in inner if depth)
    tensors = {key: value for key, value in checkpoint.items() if isinstance(value, Tensor)}
    return next((one for one in found if one), tensors)


def _inside_model(state: State) -> State:
    """Remove Lightning's prefix, if all names have it."""
    if not all(key.startswith(LIGHTNING) for key in state):
        return state
    return {WRAPPERS.sub('', key.removeprefix(LIGHTNING)): value for key, value in state.items()}


def _twice(names: list[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]


def _checked(weights: Weights) -> Weights:
    """Return ``weights`` after checking that they are finite real numbers."""
    if odd := [key for key, value in weights.state.items() if value.dtype not in DTYPES]:
        kinds = {str(weights.state[key].dtype).removeprefix('torch.') for key in odd}
        raise ValueError(
            f'{len(odd)} weights are {", ".join(sorted(kinds))}, expected float16, bfloat16, float32 or float64: '
            f'{shorten(odd)}'
        )
    if odd := not_finite(weights.state):
        raise ValueError(
            f'{len(odd)} weights hold NaN, an infinity or a number too large for float32: {shorten(odd)}; take an '
            'earlier checkpoint, from before the training went wrong'
        )
    return weights


def _read(state: State, origin: Origin, scheme: str, allow: tuple[str, ...]) -> Weights | None:
    """Translate ``state`` by one table and report the other keys; None if the shapes do not fit."""
    table = origin.tables[scheme]
    try:
        options = origin.options(state)
        state = _with_prefix(origin.unpack(state), origin.prefix)
    except (LookupError, RuntimeError, TypeError, StopIteration, ZeroDivisionError):
        return None
    weights = Weights({}, origin.name, scheme, options)
    for key, value in state.items():
        ours = table.to_ours(key)
        if ours is not None and ours not in weights.state:
            weights.state[ours] = value
        elif origin.unused and re.fullmatch(origin.unused, key) or _is_allowed(key, allow):
            weights.report.unused.append(key)
        else:
            weights.report.left_over.append(key)
    weights.report.matched = len(weights.state)
    starts = {key: value for key, value in origin.starts(weights.state).items() if key not in weights.state}
    weights.state |= starts
    weights.report.fresh = list(starts)
    weights.report.missing = table.missing(list(state))
    return weights


def _is_allowed(key: str, allow: tuple[str, ...]) -> bool:
    return COMPUTED.fullmatch(key) is None and any(re.fullmatch(one, key) for one in allow)


def _check_places(weights: Weights) -> None:
    """Refuse keys that have no place, of which those that a model computes with cannot be left out, and models without
    a classification token."""
    left_over, cls = weights.report.left_over, 'backbone.embedding.cls'
    if cls in ORIGINS[weights.origin].tables[weights.scheme].names.values() and cls not in weights.state:
        raise ValueError(
            f'the weights look like those of {weights.origin} ({weights.scheme} attention), but have no classification '
            'token, and models without one, VideoMAE aside, are not read; take a model of docs/weights.md'
        )
    if not left_over:
        return
    message = f'the weights look like those of {weights.origin} ({weights.scheme} attention), but '
    if parts := [key for key in left_over if COMPUTED.fullmatch(key)]:
        raise ValueError(
            f'{message}{len(parts)} that their model computes with have no place, and without them it is another '
            f'model: {shorten(parts)}; take a model of docs/weights.md, as its authors or Hugging Face publish it'
        )
    raise ValueError(
        f'{message}{len(left_over)} keys have no place: {shorten(left_over)}; name those that may be left out with '
        '--allow'
    )


def _with_prefix(state: State, prefix: str) -> State:
    """Add the prefix of a whole model, if ``state`` is of a backbone alone."""
    if any(key.startswith(prefix) for key in state):
        return state
    heads = ('classifier.', 'cls_head.', 'head.')
    return {key if key.startswith(heads) else f'{prefix}{key}': value for key, value in state.items()}


def _split_positions(state: State) -> None:
    """Split a table ``(1, 1 + N, C)`` into the classification token's and the patches', on a square grid."""
    if POSITIONS not in state:
        return
    table = state.pop(POSITIONS)
    if table.ndim != 3 or table.shape[1] < 2:
        raise ValueError(f'the position table is {tuple(table.shape)}, expected (1, 1 + patches, channels)')
    side = math.isqrt(table.shape[1] - 1)
    if side * side != table.shape[1] - 1:
        raise ValueError(
            f'the position table has {table.shape[1] - 1} patches, not a square number; such a file does not tell its '
            'height and width'
        )
    state['backbone.embedding.cls_position'] = table[:, :1]
    state['backbone.embedding.space'] = table[:, 1:].unflatten(1, (side, side))


def _join_positions(state: State) -> State:
    """Undo :func:`_split_positions`."""
    state = dict(state)
    cls, space = (state.pop(f'backbone.embedding.{name}', None) for name in ('cls_position', 'space'))
    if cls is not None and space is not None:
        state[POSITIONS] = torch.cat([cls, space.flatten(1, 2)], dim=1)
    return state
