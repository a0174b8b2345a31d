"""Say how frames become a model's input: by our configs, by a checkpoint, by Hugging Face's processors."""

import math
import reprlib
import warnings
from dataclasses import asdict, dataclass, replace
from typing import Any

from mmengine.config import Config

from .geometry import FLAG, PIXELS, Rule, optional

#: Files of a Hugging Face folder that tell it
PROCESSORS = ('video_preprocessor_config.json', 'preprocessor_config.json')
#: One for both, of newer folders, and what lies in it
PROCESSOR, NESTED = 'processor_config.json', ('video_processor', 'image_processor')
#: Steps of Hugging Face's processors that change pixels, and that we do not have
STEPS = ('do_flip_channel_order', 'do_pad', 'do_thumbnail', 'do_grayscale', 'offset')
BILINEAR = 2


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


COLOURS = Rule(
    'three numbers, or one for all colours',
    lambda value: (
        _is_number(value)
        or (type(value) in (list, tuple) and len(value) in (1, 3) and all(_is_number(one) for one in value))
    ),
)
FACTOR = Rule('a number more than 0', lambda value: _is_number(value) and value > 0)


@dataclass(frozen=True)
class Preprocessing:
    """Hold the scaling of frames.

    Args:
        mean (tuple[float, ...]): Mean of pixels from 0 to 255, a colour each. Defaults to 0.45 of them, as in the
            released code.
        std (tuple[float, ...]): Their standard deviation. Defaults to 0.225 of them.
        to_rgb (bool): Whether red and blue are swapped before, as for models of BGR frames. Defaults to False.
        short_side (int, optional): Length to which the short side of frames is brought in testing. Defaults to None:
            that of the crop.
    """

    mean: tuple[float, ...] = (114.75,) * 3
    std: tuple[float, ...] = (57.375,) * 3
    to_rgb: bool = False
    short_side: int | None = None

    @classmethod
    def parse(cls, told: Any) -> 'Preprocessing':
        """Parse what a checkpoint tells, as data.

        Raises:
            ValueError: If it is something else.
        """
        rules = dict(mean=COLOURS, std=COLOURS, to_rgb=FLAG, short_side=optional(PIXELS))
        if not isinstance(told, dict) or set(told) - set(rules):
            raise ValueError(f'the preprocessing is {reprlib.repr(told)}, expected a dict of {", ".join(rules)}')
        for name, value in told.items():
            rules[name].check(name, value)
        values = told | {name: _three(told[name]) for name in ('mean', 'std') if name in told}
        if min(values.get('std', [1])) <= 0:
            raise ValueError(f'std is {reprlib.repr(told["std"])}, expected numbers more than 0')
        return cls(**values)

    @classmethod
    def of_config(cls, config: Any) -> 'Preprocessing | None':
        """Return that of a resolved config; None if its preprocessor does not normalise as ours."""
        told = told_at(config, 'model', 'data_preprocessor')
        if not isinstance(told, dict) or told.get('mean') is None or told.get('std') is None:
            return None
        sides = [side for side in map(_short_side, _test_pipeline(config)) if side]
        return cls.parse(
            dict(
                mean=told['mean'],
                std=told['std'],
                to_rgb=bool(told.get('to_rgb', False)),
                short_side=sides[0] if sides else None,
            )
        )

    def plain(self) -> dict:
        """Return it as a checkpoint holds it."""
        return asdict(self) | dict(mean=list(self.mean), std=list(self.std))

    def is_as(self, other: 'Preprocessing') -> bool:
        """Return whether pixels get the same values."""
        pairs = zip((*self.mean, *self.std), (*other.mean, *other.std))
        return self.to_rgb == other.to_rgb and all(math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-3) for a, b in pairs)

    def options(self) -> str:
        """Return the options of a config that say the same."""
        lists = {name: ','.join(f'{value:g}' for value in getattr(self, name)) for name in ('mean', 'std')}
        words = [f'{name}=[{values}]' for name, values in lists.items()] + [f'to_rgb={self.to_rgb}']
        return ' '.join(f'model.data_preprocessor.{word}' for word in words)


def from_hugging_face(files: dict[str, dict], image_size: Any) -> Preprocessing | None:
    """Read what the processors of a folder do; None if there are none.

    Args:
        files (dict[str, dict]): Content of its files by their names.
        image_size: Height and width of the model's frames.

    Raises:
        ValueError: If they do what we do not, or two of them differ.
    """
    found = {name: _parse(name, told, image_size) for name, told in files.items()}
    if not found:
        return None
    first, *others = found
    for name in others:
        if not found[name].is_as(found[first]):
            raise ValueError(
                f'{first} and {name} scale pixels differently: {found[first].options()} and {found[name].options()}; '
                'delete the wrong one'
            )
    return found[first]


def _parse(name: str, told: dict, image_size: Any) -> Preprocessing:
    kind = str(told.get('image_processor_type', told.get('feature_extractor_type', '')))
    told = dict(offset=kind.startswith('Vivit')) | told  # which it shifts pixels by, unless it is told not to
    if steps := [step for step in STEPS if told.get(step)]:
        raise ValueError(f'{name} has {steps[0]}, which has no counterpart here; take frames without it')
    factor = told.get('rescale_factor', 1 / 255) if told.get('do_rescale', True) else 1
    normalises = told.get('do_normalize', True)
    if normalises and (lacking := [key for key in ('image_mean', 'image_std') if told.get(key) is None]):
        raise ValueError(f'{name} has no {lacking[0]}; write it, or "do_normalize": false')
    values = dict(mean=told['image_mean'], std=told['image_std']) if normalises else dict(mean=0, std=1)
    try:
        FACTOR.check('rescale_factor', factor)
        scaled = Preprocessing.parse(values)
        mean, std = (tuple(value / factor for value in values) for values in (scaled.mean, scaled.std))
        found = Preprocessing.parse(dict(mean=mean, std=std))
        size = _side(told.get('size'))
        crop = _side(told.get('crop_size')) if told.get('do_center_crop', 'crop_size' in told) else size
    except ValueError as error:
        raise ValueError(f'{name} is not taken: {error}') from None
    _check_size(name, told, size, crop, image_size)
    return replace(found, short_side=size)


def _check_size(name: str, told: dict, size: int | None, crop: int | None, image_size: Any) -> None:
    """Refuse a crop that is not the model's, and warn of another resizing than that of our pipelines."""
    if crop is not None and image_size is not None and crop not in (image_size, *_list(image_size)):
        raise ValueError(
            f'{name} crops frames to {crop} pixels, and the model of config.json takes {_list(image_size)[0]}; make '
            'them one'
        )
    odd = []
    if isinstance(told.get('size'), dict) and 'height' in told['size']:
        odd.append('frames are squeezed to a square')
    if told.get('resample', BILINEAR) != BILINEAR:
        odd.append(f'resample is {reprlib.repr(told["resample"])}')
    if not told.get('do_resize', True):
        odd.append('frames keep their size')
    if odd:
        warnings.warn(
            f'in {name} {", ".join(odd)}; here the test pipeline of the config brings the short side to clip.size, '
            'bilinearly, and keeps the aspect',
            stacklevel=2,
        )


def to_hugging_face(preprocessing: Preprocessing, image_size: int) -> dict[str, dict]:
    """Make the files of a folder that tell the same, by their names.

    Args:
        preprocessing (Preprocessing): Of RGB frames: the format has no other order of colours.
        image_size (int): Height and width of the model's frames.
    """
    common = dict(
        do_resize=True,
        size=dict(shortest_edge=preprocessing.short_side or image_size),
        resample=BILINEAR,
        do_center_crop=True,
        crop_size=dict(height=image_size, width=image_size),
        do_rescale=True,
        rescale_factor=1 / 255,
        do_normalize=True,
        image_mean=[value / 255 for value in preprocessing.mean],
        image_std=[value / 255 for value in preprocessing.std],
    )
    kinds = dict(video_processor_type='TimesformerVideoProcessor'), dict(image_processor_type='VideoMAEImageProcessor')
    return {name: kind | common for name, kind in zip(PROCESSORS, kinds)}


def told_at(value: Any, *names: str) -> Any:
    """Return what is there under nested names; None if nothing is, whatever stands in its place."""
    for name in names:
        value = value.get(name) if isinstance(value, (dict, Config)) else None
    return value


def interval_of(config: Any) -> int | None:
    """Return the distance of the frames of a clip that a config tests with; None if it does not tell one."""
    told = next((step['frame_interval'] for step in _test_pipeline(config) if 'frame_interval' in step), None)
    return told if type(told) is int and 0 < told <= 100_000 else None


def _test_pipeline(config: Any) -> list[dict]:
    """Return the steps of a config's test pipeline, whatever stands in their place."""
    found = told_at(config, 'test_dataloader', 'dataset', 'pipeline')
    return [step for step in found if isinstance(step, dict)] if isinstance(found, (list, tuple)) else []


def _short_side(transform: dict) -> int | None:
    """Return the length to which a transform of a test pipeline brings the short side, for a single crop."""
    if transform.get('type') == 'ReleasedTestResize':
        side = _list(transform.get('jitter') or transform.get('size'))[0]
    else:
        scale = transform.get('scale') if transform.get('type') == 'Resize' else None
        lengths = [side for side in _list(scale) if type(side) is int]
        side = (max(lengths) if -1 in lengths else min(lengths)) if len(lengths) == 2 else None
    return side if PIXELS.accepts(side) else None


def _three(values: Any) -> tuple[float, ...]:
    values = _list(values)
    return tuple(float(value) for value in (values * 3 if len(values) == 1 else values))


def _list(value: Any) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _side(size: Any) -> int | None:
    """Return the length that a processor's size tells: ``224``, ``[224, 224]``, or a dict with names; None if none."""
    if size is None:
        return None
    sides = size if isinstance(size, dict) else dict(zip(('height', 'width'), _list(size) * 2))
    values = [sides[name] for name in ('shortest_edge', 'height', 'width') if name in sides]
    if not values or len(set(map(str, values))) > 1:
        raise ValueError(f'a size is {reprlib.repr(size)}, expected one length, of a square or the shortest edge')
    PIXELS.check('a size', values[0])
    return values[0]
