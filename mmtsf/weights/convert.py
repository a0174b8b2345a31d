"""Convert a checkpoint of any origin to another format, or to another model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmengine.registry import init_default_scope

from mmtsf.config import load_config
from mmtsf.registry import MODELS
from mmtsf.utils.screen import say
from mmtsf.utils.text import scaled, without_secrets

from .adapters import separated
from .build import backbone_config, build, head_config
from .classes import classes_of
from .load import HEAD, load_weights
from .model_card import Card
from .preprocessing import Preprocessing
from .read import read_checkpoint
from .record import Record
from .translate import OURS, Weights, translate
from .write import write

#: Preprocessing of the origins that have one for all of their models
USUAL = dict(released=Preprocessing(), mmaction2=Preprocessing((127.5,) * 3, (127.5,) * 3))


def convert(
    source: str,
    target: Path,
    to: str = OURS,
    origin: str | None = None,
    config: str | None = None,
    num_heads: int | None = None,
    allow: Sequence[str] = (),
    resize: str = 'smooth',
    added_steps: str = 'image',
    card: Card | None = None,
    metrics: dict[str, float] | None = None,
) -> tuple[str, list[Path]]:
    """Convert a checkpoint.

    Args:
        source (str): File, Hugging Face folder, URL or published name.
        target (Path): File to write; a folder for ``huggingface``.
        to (str): Format to write, see :func:`write`; or ``'adapters'``, a small file of what a training with them has
            learned. Other formats have them merged. Defaults to ``'mmtsf'``.
        origin (str, optional): Where it comes from. Defaults to None: recognised.
        config (str, optional): Config whose model the weights are brought to. Defaults to None: the model that the
            file tells.
        num_heads (int, optional): Attention heads, which few files tell. Defaults to None: 64 channels each.
        allow (Sequence[str]): Keys, as regular expressions, that may be left out. Defaults to ``()``.
        resize, added_steps: See :func:`load_weights`.
        card (Card, optional): What a card for Hugging Face says. Defaults to None: what the checkpoint tells.
        metrics (dict[str, float], optional): Metrics of a test, for the card. Defaults to None: there was none.

    Raises:
        ValueError: If the weights do not fit, or the format has no place for them.

    Returns:
        tuple[str, list[Path]]: What became of the weights, in words, and the files that were written.
    """
    init_default_scope('mmtsf')
    settings = load_config(config) if config else None  # which may import an origin
    checkpoint = read_checkpoint(source)
    weights = translate(checkpoint, origin, tuple(allow))
    if to == 'adapters':
        return _write_adapters(checkpoint, weights, target)
    base = weights.adapters if weights.adapters and weights.adapters.digest else None  # which the file lacks
    if base and not settings:
        raise ValueError(
            f'these are adapters of {base.base_words}; give the config whose start these weights are '
            '(--config), and they are merged'
        )
    record = weights.record
    if settings:
        settings.model.update(adapters=None, frozen=False)  # they are merged
        if not base:
            settings.model.backbone.init_cfg = None  # the weights are the start
        backbone, model = settings.model.backbone.to_dict(), MODELS.build(settings.model)
        model.init_weights()
        record = replace(Record.of_config(settings.to_dict()), start=record.start, start_license=record.start_license)
    else:
        backbone, model = backbone_config(weights, num_heads), build(weights, num_heads)
    report = load_weights(weights, model, bool(config), added_steps, resize)
    if to == 'huggingface':
        record = replace(record, preprocessing=record.preprocessing or _usual(weights))
    meta = dict(backbone=backbone, classes=_classes(checkpoint, weights, report.fresh)) | record.plain()
    words = f'{without_secrets(source)}: {weights.origin} ({backbone["attention"]["type"]}), {report}'
    return words, write(model.state_dict(), meta, target, to, card, metrics)


def _write_adapters(checkpoint: dict, weights: Weights, target: Path) -> tuple[str, list[Path]]:
    """Write what was learned beside frozen weights, and what identifies these."""
    state, record = separated(weights.state, weights.adapters)
    meta = dict(
        backbone=weights.options,
        classes=_classes(checkpoint, weights, []),
        adapters=record.plain(),
        **weights.record.plain(),
    )
    size = scaled(sum(value.nbytes for value in state.values()), 'B')
    return f'{len(state)} weights, {size}, learned beside {record.base_words}', write(state, meta, target)


def _classes(checkpoint: dict, weights: Weights, fresh: list[str]) -> list[str] | None:
    """Return the names of the classes, unless the head is another one now."""
    head = head_config(weights)
    keeps_head = head and not any(key.startswith(HEAD) for key in fresh)
    return classes_of(checkpoint, head['num_classes']) if head and keeps_head else None


def _usual(weights: Weights) -> Preprocessing:
    """Return the preprocessing of an origin's models; what is assumed of others is said."""
    if weights.origin not in USUAL:
        say(
            f'the checkpoint does not tell how frames are normalised, and {Preprocessing().options()} is written, as '
            'in the released code; --config with the config of its training tells other values'
        )
    return USUAL.get(weights.origin, Preprocessing())
