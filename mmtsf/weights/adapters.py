"""Load low-rank adapters from checkpoints and from small files, and merge them into their base weights."""

import hashlib
import logging
import re
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from mmtsf.models.adapters import Adapters, adapted_layers
from mmtsf.utils.text import cleaned, shorten, without_secrets

from .origins import State

PART = re.compile(r'(.+)\.lora_([AB])\.weight')
DIGEST = re.compile(r'[0-9a-f]{64}')
#: Frozen tables that are resized to the clips, and so tell nothing
RESIZED = ('backbone.embedding.space',)
MOST_LETTERS = 1000


@dataclass(frozen=True)
class AdapterRecord:
    """What a checkpoint tells of its adapters.

    Args:
        settings (Adapters): Their settings.
        base (str): Weights that they were trained on, as the training named them, without secrets, and not longer than
            1000 letters. Text: nothing is opened.
        digest (str, optional): SHA-256 of those weights, of a file that has none of them. Defaults to None: it has.
    """

    settings: Adapters
    base: str
    digest: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, 'base', without_secrets(self.base)[:MOST_LETTERS])  # as it is frozen

    @classmethod
    def parse(cls, told: Any) -> 'AdapterRecord | None':
        """Parse what a checkpoint tells, as data; None of one without adapters.

        Raises:
            ValueError: If it is something else.
        """
        if told is None:
            return None
        given = dict(told) if isinstance(told, dict) else dict(told=told)
        base, digest = given.pop('base', ''), given.pop('digest', None)
        if not isinstance(base, str):
            raise ValueError(f'the base of adapters is {reprlib.repr(base)}, expected a name')
        if digest is not None and not (isinstance(digest, str) and DIGEST.fullmatch(digest)):
            raise ValueError(f'the digest of adapters is {reprlib.repr(digest)}, expected 64 digits of SHA-256')
        return cls(Adapters.parse(given), base, digest)

    def plain(self) -> dict:
        """Return what :meth:`parse` takes."""
        digest = {} if self.digest is None else dict(digest=self.digest)
        return self.settings.plain() | dict(base=self.base) | digest

    @property
    def base_words(self) -> str:
        """Return the base's name, as it is shown."""
        return cleaned(self.base) or 'weights without a name'


def fitted(state: State, record: AdapterRecord | None, model: nn.Module, may_lack: bool) -> State:
    """Return a checkpoint's weights for a model with the same adapters, or with none, into whose weights they go.

    Args:
        state (dict[str, Tensor]): Weights by our names.
        record (AdapterRecord, optional): What the checkpoint tells of adapters; None if it has none.
        model (nn.Module): A recognizer, or a backbone alone. Weights that a small file lacks are the model's own, or
            its config's start if it has none yet.
        may_lack (bool): Whether the model may have adapters that the checkpoint lacks, as when training begins.

    Raises:
        ValueError: If they do not fit.
    """
    settings: Adapters | None = getattr(model, 'adapters', None)
    if record is None:
        if settings and not may_lack:
            raise ValueError(
                'the checkpoint has no adapters, and the model of this config has (recipe=lora); give the adapters, or '
                'set training.adapters=None for weights in which they are merged'
            )
        return state
    if record.digest is not None:
        state = _completed(state, record, model)
    if settings is None:
        _check_pairs(state, record.settings, model)
        return merged(state, record.settings)
    for name in ('rank', 'alpha', 'targets'):
        now, was = (one.plain()[name] for one in (settings, record.settings))
        if (sorted(now) != sorted(was)) if name == 'targets' else now != was:
            raise ValueError(
                f'adapters of this model have {name} {now}, and those of the checkpoint {was}; set '
                f'training.adapters.{name}={was}'.replace("'", '')
            )
    _check_pairs(state, record.settings, model)
    return state


def _check_pairs(state: State, settings: Adapters, model: nn.Module) -> None:
    """Refuse weights of which a layer lacks the adapter that the settings promise, or has one beside them."""
    promised = adapted_layers(getattr(model, 'backbone', model), settings)
    pairs = {f'{layer}.lora_{part}.weight' for layer in promised for part in 'AB'}
    found = {key.removeprefix('backbone.blocks.') for key in state if PART.fullmatch(key)}
    if odd := sorted(pairs ^ found):
        raise ValueError(
            f'adapters of {list(settings.targets)} in this model have other weights than those of the checkpoint: '
            f'{shorten(odd, 3)}; give an intact file, and the config that it was trained with'
        )


def merged(state: State, settings: Adapters) -> State:
    """Return weights in which the adapters among them are merged.

    Raises:
        ValueError: If an adapter is not of its weight's size.
    """
    plain = {key: value for key, value in state.items() if not PART.fullmatch(key)}
    for layer in dict.fromkeys(match[1] for match in map(PART.fullmatch, state) if match):
        down, up, weight = (state.get(f'{layer}.{name}') for name in ('lora_A.weight', 'lora_B.weight', 'weight'))
        if down is None or up is None or weight is None or not _fit(down, up, weight, settings.rank):
            raise ValueError(
                f'the adapter of {layer} is not one of rank {settings.rank} for a weight of the checkpoint'
            )
        added = (up.float() @ down.float()) * (settings.alpha / settings.rank)
        plain[f'{layer}.weight'] = (weight.float() + added).to(weight.dtype)
    return plain


def separated(state: State, record: AdapterRecord | None) -> tuple[State, AdapterRecord]:
    """Return what was learned beside the frozen weights, and a record that identifies these.

    Raises:
        ValueError: If the checkpoint has no adapters.
    """
    if record is None:
        raise ValueError('the checkpoint has no adapters; only one of a training with recipe=lora has')
    learned = {key: value for key, value in state.items() if _is_learned(key, record.settings)}
    return learned, record if record.digest else replace(record, digest=_digest(state, record.settings))


def _completed(state: State, record: AdapterRecord, model: Any) -> State:
    if not hasattr(model, 'backbone'):
        raise ValueError(
            f'these are adapters, which no model starts from; set start to the weights that they were trained on '
            f'({record.base_words}), and load_from, or CHECKPOINT, to this file'
        )
    if odd := [key for key in state if not _is_learned(key, record.settings)]:
        raise ValueError(f'a file of adapters has {odd[0]!r}, which they do not learn')
    if not model.is_init:
        with _silently():
            model.init_weights()
    own = {key: value for key, value in model.state_dict().items() if not _is_learned(key, record.settings)}
    if _digest(own, record.settings) != record.digest:
        raise ValueError(
            f'these adapters were trained on {record.base_words}, and the model has other weights; set start to those '
            '(or to a checkpoint of that training)'
        )
    return own | state


@contextmanager
def _silently() -> Iterator[None]:
    """Inside, MMEngine tells nothing of each weight that is initialised."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)


def _is_learned(key: str, settings: Adapters) -> bool:
    return key.startswith('cls_head.') or settings.learns(key.removeprefix('backbone.'))


def _digest(state: State, settings: Adapters) -> str:
    """Identify frozen weights by their numbers, whatever file they come from."""
    found = hashlib.sha256()
    for key in sorted(state):
        if key not in RESIZED and not _is_learned(key, settings):
            found.update(f'{key} {tuple(state[key].shape)}\n'.encode())
            found.update(state[key].detach().cpu().float().contiguous().numpy().data)
    return found.hexdigest()


def _fit(down: Tensor, up: Tensor, weight: Tensor, rank: int) -> bool:
    if weight.ndim != 2:
        return False
    return down.shape == (rank, weight.shape[1]) and up.shape == (weight.shape[0], rank)
