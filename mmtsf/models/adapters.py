"""Train parts of a backbone: low-rank adapters in the place of its weights, or what a video model adds to an image
model."""

import math
import re
import reprlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from .attentions import AttentionScheme
from .backbones import TimeSformer

#: What is learned in any case: an image model has none
TIME_TABLE = 'embedding.time'
MOST_RANK, MOST_WORDS = 4096, 100
LISTS = ('targets', 'whole')
WORD = re.compile(r'\w{1,50}(\.\w{1,50}){0,9}', re.ASCII)


@dataclass(frozen=True)
class Adapters:
    """Settings of low-rank adapters (LoRA, arXiv 2106.09685).

    Args:
        rank (int): Rank of what is added to a weight. Defaults to 8.
        alpha (float): What is added is scaled by ``alpha / rank``. Defaults to 16.
        dropout (float): Share of an adapter's input that is dropped in training. Defaults to 0.
        targets (Sequence[str]): Which linear layers of the blocks have an adapter: words in their dotted names, such as
            ``'attention'``, ``'mlp'``, ``'time'``, ``'qkv'``. Defaults to ``('attention',)``.
        whole (Sequence[str]): Weights of the backbone that learn as they are, by such words, beside the time table.
            Defaults to ``()``.
    """

    rank: int = 8
    alpha: float = 16
    dropout: float = 0.0
    targets: Sequence[str] = ('attention',)
    whole: Sequence[str] = ()

    @classmethod
    def parse(cls, told: Any) -> 'Adapters':
        """Parse a config, or what a checkpoint tells, as data.

        Raises:
            ValueError: If it is something else.
        """
        rules = dict(
            rank=('a whole number from 1 to 4096', lambda x: type(x) is int and 1 <= x <= MOST_RANK),
            alpha=('a number more than 0', lambda x: _is_number(x) and 0 < x <= 1e6),
            dropout=('a number from 0 to less than 1', lambda x: _is_number(x) and 0 <= x < 1),
            targets=("names like ['attention', 'mlp.0']", lambda x: _are_words(x) and len(x)),
            whole=("names like ['temporal_fc']", _are_words),
        )
        if not isinstance(told, dict) or set(told) - set(rules):
            raise ValueError(f'adapters are {reprlib.repr(told)}, expected a dict of {", ".join(rules)}')
        for name, value in told.items():
            expected, fits = rules[name]
            if not fits(value):
                raise ValueError(f'adapters.{name} is {reprlib.repr(value)}, expected {expected}')
        values: dict[str, Any] = {name: tuple(value) if name in LISTS else value for name, value in told.items()}
        return cls(**values)

    def plain(self) -> dict:
        """Return what :meth:`parse` takes."""
        return {name: list(value) if name in LISTS else value for name, value in asdict(self).items()}

    def learns(self, name: str) -> bool:
        """Whether a weight of a backbone is learned, an adapter's or another one."""
        return '.lora_' in name or _named(name, (TIME_TABLE, *self.whole))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _are_words(value: Any) -> bool:
    is_list = isinstance(value, (list, tuple)) and len(value) <= MOST_WORDS
    return is_list and all(isinstance(word, str) and WORD.fullmatch(word) for word in value)


def _named(name: str, words: Sequence[str]) -> bool:
    return any(f'.{word}.' in f'.{name}.' for word in words)


def add_adapters(backbone: nn.Module, settings: Adapters) -> None:
    """Freeze a backbone, and give it adapters, which learn.

    Raises:
        ImportError: If peft is not installed.
        ValueError: If a word names nothing, or it is no TimeSformer.
    """
    from .layers.adapted_linear import AdaptedLinear  # imports peft, which takes seconds

    blocks = _blocks_of(backbone, 'adapters')
    layers = _linear_layers(blocks)
    weights = [name for name, _ in backbone.named_parameters()]
    for option, words, names in (('targets', settings.targets, list(layers)), ('whole', settings.whole, weights)):
        if odd := [word for word in words if not any(_named(name, [word]) for name in names)]:
            known = sorted({part for name in names for part in name.split('.') if not part.isdigit()})
            raise ValueError(f'adapters.{option} has {odd[0]!r}, which no name has; parts of names are {known}')
    backbone.requires_grad_(False)
    for name in adapted_layers(backbone, settings):
        owner, _, place = name.rpartition('.')
        adapted = AdaptedLinear(layers[name], settings.rank, settings.alpha, settings.dropout)
        setattr(blocks.get_submodule(owner), place, adapted)
    for name, weight in backbone.named_parameters():
        weight.requires_grad_(settings.learns(name))


def adapted_layers(backbone: nn.Module, settings: Adapters) -> list[str]:
    """Return the names, in the blocks of a backbone, of the layers that have an adapter by these settings.

    Raises:
        ValueError: If no target is left, or it is no TimeSformer.
    """
    with without_adapters(backbone):
        layers = _linear_layers(_blocks_of(backbone, 'adapters'))
    targets = [name for name in layers if _named(name, settings.targets)]
    adapted = [name for name in targets if not _named(f'blocks.{name}', settings.whole)]
    if targets and not adapted:
        raise ValueError(
            f'adapters.whole is {list(settings.whole)}, which leaves none of adapters.targets {list(settings.targets)} '
            'an adapter; name other weights, or take a recipe without adapters'
        )
    return adapted


def _linear_layers(blocks: nn.Module) -> dict[str, nn.Linear]:
    return {name: layer for name, layer in blocks.named_modules() if type(layer) is nn.Linear}


def freeze_image_part(backbone: nn.Module) -> None:
    """Freeze what an image model has: attention steps that the scheme adds to it learn, and the time table.

    Raises:
        ValueError: If the scheme adds none, or it is no TimeSformer.
    """
    scheme = _blocks_of(backbone, "frozen='image'")[0].attention
    is_ours = isinstance(scheme, AttentionScheme)
    added = [f'steps.{name}' for name in scheme.steps if name != scheme.image_step] if is_ours else []
    if not added:
        raise ValueError(
            f"frozen is 'image' (recipe=frozen_time): what a scheme adds to an image model learns, and "
            f'{type(scheme).__name__} adds no attention step; use DividedAttention, or recipe=lora or linear_probe'
        )
    for name, weight in backbone.named_parameters():
        weight.requires_grad_(_named(name, (TIME_TABLE, *added)))


def _blocks_of(backbone: nn.Module, what: str) -> Any:
    if not isinstance(backbone, TimeSformer):
        raise ValueError(f'{what} is for a TimeSformer, and the backbone is {type(backbone).__name__}; leave it out')
    return backbone.blocks


def _adapted(model: nn.Module) -> Iterator[tuple[nn.Module, str, Any]]:
    """Adapted layers with their owners and their names there."""
    owned = [(owner, name, layer) for owner in model.modules() for name, layer in owner.named_children()]
    return (found for found in owned if hasattr(found[2], 'by_products'))


@contextmanager
def without_adapters(model: nn.Module) -> Iterator[None]:
    """Inside, the layers themselves stand in the place of adapted ones."""
    found = list(_adapted(model))
    for owner, name, layer in found:
        setattr(owner, name, layer.base_layer)
    try:
        yield
    finally:
        for owner, name, layer in found:
            setattr(owner, name, layer)


def merge_adapters(model: Any) -> None:
    """Add what adapters have learned to the weights, which then are those of a plain model; one without stays."""
    for owner, name, layer in list(_adapted(model)):
        layer.merge()
        setattr(owner, name, layer.base_layer)
    if getattr(model, 'adapters', None):
        model.adapters = None
