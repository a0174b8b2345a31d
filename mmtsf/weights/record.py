"""Read what a checkpoint tells of its model besides weights: its own words, and the config of its training."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from mmtsf.utils.sources import MODEL_INDEX
from mmtsf.utils.text import without_secrets

from .geometry import FLAG, Rule, one_of, optional, whole
from .preprocessing import Preprocessing, from_hugging_face, interval_of, told_at

#: How the views of a video are combined, as a head is told
AVERAGES = ('prob', 'score')
TEXT = Rule('a text of at most 500 letters', lambda value: type(value) is str and _is_text(value))
RULES = dict(
    multi_class=optional(FLAG),
    average_clips=optional(one_of(*AVERAGES)),
    frame_interval=optional(whole(1, 100_000)),
    start=optional(TEXT),
    start_license=optional(TEXT),
)


@dataclass(frozen=True)
class Record:
    """Hold it; None is what is not told.

    Args:
        preprocessing (Preprocessing, optional): How frames become the model's input.
        multi_class (bool, optional): Whether a video may have several labels.
        average_clips (str, optional): How the views of a video are combined, ``'prob'`` or ``'score'``.
        frame_interval (int, optional): Distance of the frames of a clip in testing.
        start (str, optional): What the training started from: a published name, an address or the name of a file.
        start_license (str, optional): Licence of that, if it has a published name.
    """

    preprocessing: Preprocessing | None = None
    multi_class: bool | None = None
    average_clips: str | None = None
    frame_interval: int | None = None
    start: str | None = None
    start_license: str | None = None

    def __post_init__(self) -> None:
        for name, rule in RULES.items():
            rule.check(name, getattr(self, name))

    @classmethod
    def parse(cls, meta: Any) -> 'Record':
        """Parse the ``meta`` of a checkpoint of ours: what it says itself comes before the config of its training.

        Raises:
            ValueError: If a value is none that it may have.
        """
        own = {one.name: meta.get(one.name) for one in fields(cls)} if isinstance(meta, dict) else {}
        if own.get('preprocessing') is not None:
            own['preprocessing'] = Preprocessing.parse(own['preprocessing'])
        trained = cls.of_config(told_at(meta, 'run', 'settings'))
        return cls(**vars(trained) | {name: value for name, value in own.items() if value is not None})

    @classmethod
    def of_config(cls, config: Any) -> 'Record':
        """Read a resolved config, in plain values; one of a checkpoint may be anything.

        Raises:
            ValueError: If a value is none that it may have.
        """
        head = told_at(config, 'model', 'cls_head')
        average = told_at(head, 'average_clips')
        start, licence = _start_of(config)
        return cls(
            preprocessing=Preprocessing.of_config(config) if isinstance(config, dict) else None,
            multi_class=head.get('multi_class', False) if isinstance(head, dict) else None,
            average_clips=average if average in AVERAGES else None,
            frame_interval=interval_of(config),
            start=start,
            start_license=licence,
        )

    @classmethod
    def of_hugging_face(cls, config: dict, processors: dict[str, dict], image_size: Any, has_head: bool) -> 'Record':
        """Read the config and the processors of a folder of Hugging Face.

        Raises:
            ValueError: If a value is none that it may have.
        """
        try:
            told = cls(
                average_clips=config.get('average_clips'),
                frame_interval=config.get('frame_interval'),
                multi_class=config.get('problem_type') == 'multi_label_classification' if has_head else None,
            )
        except ValueError as error:
            raise ValueError(f'config.json is not taken: {error}') from None
        return cls(**vars(told) | dict(preprocessing=from_hugging_face(processors, image_size)))

    def plain(self) -> dict:
        """Return it as a checkpoint holds it."""
        return asdict(self) | dict(preprocessing=self.preprocessing.plain() if self.preprocessing else None)


def _start_of(config: Any) -> tuple[str | None, str | None]:
    """Return what a training started from, and its licence if that has a published name."""
    places = ('load_from',), ('model', 'backbone', 'init_cfg', 'checkpoint')
    told = next((name for place in places if (name := told_at(config, *place))), None)
    if not isinstance(told, str) or not _is_text(told):
        return None, None
    models = yaml.safe_load(MODEL_INDEX.read_text())['Models']
    metadata = next((model.get('Metadata') or {} for model in models if model['Name'] == told), {})
    return without_secrets(told) if '://' in told else Path(told).name, metadata.get('Licence')


def _is_text(value: str) -> bool:
    return value.isprintable() and 0 < len(value) <= 500
