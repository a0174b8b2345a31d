"""Refuse keys and options of a config that would have no effect, or not the one that they seem to have."""

import difflib
import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from .class_words import WORDS, check_class_words
from .shipped import config_path, from_file

REFERENCE = re.compile(r'\$\{([\w.]+)\}')
#: The same, where a word that another reference chooses has become ``*``
ANY_REFERENCE = re.compile(r'\$\{([\w.*]+)\}')
#: Key of a dict that begins as another one
USE = '_use_'
#: Keys of configs for MMCV 1 and their successors
OLD_KEYS = {
    'checkpoint_config': 'default_hooks.checkpoint, or save_last and max_keep_ckpts in it',
    'cudnn_benchmark': 'env_cfg.cudnn_benchmark',
    'data.test': 'test_dataloader.dataset',
    'data.test_dataloader': 'test_dataloader',
    'data.train': 'train_dataloader.dataset',
    'data.train_dataloader': 'train_dataloader',
    'data.val': 'val_dataloader.dataset',
    'data.val_dataloader': 'val_dataloader',
    'data.videos_per_gpu': 'train_dataloader.batch_size',
    'data.samples_per_gpu': 'train_dataloader.batch_size',
    'data.workers_per_gpu': 'train_dataloader.num_workers',
    'dist_params': 'env_cfg.dist_cfg',
    'evaluation': 'train_cfg.val_interval, val_evaluator and default_hooks.checkpoint.save_best',
    'fp16': '--amp, or amp',
    'gpu_ids': 'bash tools/dist_train.sh CONFIG GPUS',
    'log_config': 'default_hooks.logger, and log_to for TensorBoard',
    'lr_config': 'param_scheduler',
    'momentum_config': 'param_scheduler',
    'mp_start_method': 'env_cfg.mp_cfg.mp_start_method',
    'opencv_num_threads': 'env_cfg.mp_cfg.opencv_num_threads',
    'optimizer': 'optim_wrapper.optimizer',
    'optimizer_config': 'optim_wrapper.clip_grad and optim_wrapper.accumulative_counts',
    'resume_from': 'train.py --resume CHECKPOINT, or resume=True with load_from',
    'runner': 'train_cfg',
    'seed': 'randomness.seed',
    'total_epochs': 'max_epochs',
    'total_iters': 'max_epochs',
    'workflow': 'train_cfg.val_interval',
}


#: Values of our configs that count something
COUNTS = (
    'batch_size',
    'clip.frame_interval',
    'clip.num_frames',
    'clip.size',
    'data.num_classes',
    'global_batch_size',
    'max_epochs',
    'model.backbone.img_size',
    'model.backbone.num_frames',
    'model.backbone.patch_size',
    'train_dataloader.batch_size',
    'val_dataloader.batch_size',
    'test_dataloader.batch_size',
    'views.num_clips',
)
#: Those that may be two, height and width
PAIRS = ('clip.size', 'model.backbone.img_size')


@dataclass(frozen=True)
class Names:
    """What the values of a config refer to.

    Args:
        values (dict): Its values, with their references.
        tables (set[str]): Top-level keys that exist to be referred to.
        named (set[str]): Dotted names that any value refers to or did in a file that the config inherits from, also in
            branches that no word chooses; a part that a word chooses may be ``*``.
        used (set[str]): Those that the resolved config depends on.
        overridden (list[tuple[str, str, Any]]): Literals beside a ``_use_``: place, reference and literal.
        lineage (list[tuple[Path, dict]]): Files that it is made of, those it inherits from first.
    """

    values: dict
    tables: set[str]
    named: set[str]
    used: set[str]
    overridden: list[tuple[str, str, Any]]
    lineage: list[tuple[Path, dict]]


def check(names: Names, options: Iterable[str]) -> None:
    """Refuse what has no effect in a config.

    Args:
        names (Names): What its values refer to.
        options (Iterable[str]): Dotted names of values that were changed and must have an effect.

    Raises:
        ValueError: With the value, and the remedy.
    """
    if 'recipe' in names.values:
        raise ValueError(
            f'recipe={names.values["recipe"]!r} was not read: a recipe is chosen when a config is read; give '
            '--cfg-options recipe=... to the tools of mmtsf, call mmtsf.config.load_config(path), or set the '
            'environment variable MMTSF_RECIPE to its file'
        )
    _check_keys(names)
    _check_counts(names.values)
    _check_class_words(names.values)
    _check_options(names, options)
    _check_tables(names)
    _check_second_places(names)


def refuse_old_keys(values: dict) -> None:
    """Refuse keys of configs for MMCV 1, which nothing reads any more.

    Raises:
        ValueError: With the successors of all that there are.
    """
    found = [name for name in OLD_KEYS if _has(values, name)]
    if found:
        lines = [f'{name} is now {OLD_KEYS[name]}' for name in found]
        raise ValueError('this config has keys of an older version, which nothing reads: ' + '; '.join(lines))


def refuse_options_through_references(values: dict, options: Iterable[str]) -> None:
    """Refuse options for a part of what a reference stands for.

    Raises:
        ValueError: With the reference, whose own place is to be changed.
    """
    for name in options:
        keys = name.split('.')
        for depth in range(1, len(keys)):
            value = _at(values, '.'.join(keys[:depth]))
            if isinstance(value, str) and ANY_REFERENCE.search(value):
                place = '.'.join(keys[:depth])
                raise ValueError(
                    f'the option {name!r} leads through {place}={value!r}, a reference; change what it refers to'
                )


def change(config: Any, options: dict[str, Any]) -> None:
    """Change a config by dotted options, also below a value of None, which becomes a dict.

    Args:
        config (Config): Is changed.
        options (dict): Values by dotted names.

    Raises:
        ValueError: If an option leads through a value that holds no others.
    """
    for name, new in options.items():
        keys = name.split('.')
        for depth in range(1, len(keys) + isinstance(new, dict)):
            place = '.'.join(keys[:depth])
            value = _at(config.to_dict(), place)
            if value is None:
                config.merge_from_dict({place: {'_delete_': True}})
            elif depth < len(keys) and value is not ... and not isinstance(value, (dict, list, tuple)):
                raise ValueError(f'the option {name!r} leads through {place}={value!r}, which holds no other values')
        config.merge_from_dict({name: new})


def _check_counts(values: dict) -> None:
    """Refuse counts that are no whole numbers from 1 on."""
    for name in COUNTS:
        value = _at(values, name)
        parts = value if isinstance(value, (list, tuple)) and name in PAIRS and len(value) == 2 else [value]
        is_known = value not in (..., None) and not any(REFERENCE.search(str(part)) for part in parts)
        if is_known and not all(type(part) is int and part > 0 for part in parts):
            raise ValueError(f'{name} is {value!r}, expected a whole number from 1 on')


def check_patches(backbone: Any) -> None:
    """Refuse frames that cannot be cut into the patches of our backbone, before anything is built.

    Args:
        backbone: Its resolved config, or another one, which is right.

    Raises:
        ValueError: With the nearest sizes.
    """
    if not is_ours(backbone):
        return
    size, patch, frames = (backbone.get(name) for name in ('img_size', 'patch_size', 'num_frames'))
    sides = size if isinstance(size, (list, tuple)) else [size, size]
    odd = [side for side in sides if _is_odd(side, patch)]
    if odd:
        raise ValueError(
            f'img_size is {" x ".join(map(str, sides))} (height x width), expected multiples of patch_size {patch}; '
            f'set clip.size to {_nearest(odd[0], patch)}'
        )
    tubelet = (backbone.get('embedding') or {}).get('tubelet')
    if _is_odd(frames, tubelet):
        raise ValueError(
            f'clips have {frames} frames, expected a multiple of {tubelet}, the frames of a tubelet; set '
            f'clip.num_frames to {_nearest(frames, tubelet)}'
        )


def is_ours(backbone: Any) -> bool:
    """Whether the config of a backbone is one of ours."""
    return isinstance(backbone, dict) and backbone.get('type') in ('TimeSformer', 'mmtsf.TimeSformer')


def _is_odd(number: Any, step: Any) -> bool:
    """Whether two counts are ones of which the first is no multiple of the second."""
    return type(number) is type(step) is int and number > 0 and step > 0 and number % step > 0


def _nearest(number: Any, step: Any) -> str:
    """Name the multiples of a step around a number."""
    below = number // step * step
    return f'{below} or {below + step}' if below else str(step)


def _check_class_words(values: dict) -> None:
    """Refuse words for classes of unequal size that have no meaning, as far as they are written out."""
    words, multi_class = values.get('training'), _at(values, 'data.multi_class')
    if isinstance(words, dict):
        plain = {name: words[name] for name in WORDS if name in words and not REFERENCE.search(str(words[name]))}
        named = [_at(values, f'{head}.loss_cls.type') for head in ('model.cls_head', 'training.head')]
        own_loss = next((str(name) for name in named if name is not ...), None)
        check_class_words(**plain, multi_class=multi_class is True, own_loss=own_loss)


def _has(values: Any, name: str) -> bool:
    for key in name.split('.'):
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return True


def _check_keys(names: Names) -> None:
    """Refuse top-level keys that nothing reads and that are close to a known one."""
    known = runner_keys() | names.tables
    for key in sorted(key for key in set(names.values) - known if not key.startswith('_')):  # variables of a file
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
        if close and key not in {name.split('.')[0] for name in shipped_names()}:
            raise ValueError(f'unknown config key {key!r}; did you mean {close[0]!r}?')


def _check_options(names: Names, options: Iterable[str]) -> None:
    """Refuse options that do not end in the resolved config."""
    for name in options:
        table = name.split('.')[0]
        if table in runner_keys() or _meets(name, names.used):
            continue
        words = f'the option {name!r} changes nothing: '
        if _meets(name, names.named):
            raise ValueError(
                f'{words}what refers to it is not in use; data.sampling, data.source and the like choose that'
            )
        if not names.tables & set(names.values):
            raise ValueError(f'{words}values of this config refer to nothing; change them directly')
        inside = {other for other in names.named if _within(other, table) and '*' not in other}
        tables = names.tables & set(names.values)
        known, unlisted = (inside, ()) if inside else (runner_keys() | tables, runner_keys())
        suggestion = suggest(name if inside else table, known, unlisted)
        raise ValueError(f'{words}no value of this config refers to it{suggestion}')


def _check_tables(names: Names) -> None:
    """Refuse keys of tables that nothing refers to, nor did in a file that the config inherits from."""
    for table in sorted(names.tables & set(names.values)):
        if not any(_unused(table, names.values[table], names.named)):
            continue
        for name in _unused(table, names.values[table], names.named | shipped_names()):
            owner = name.rpartition('.')[0]
            siblings = {f'{owner}.{other.rpartition(".")[2]}' for other in names.named if _is_in(other, owner)}
            raise ValueError(f'unknown config key {name!r}: nothing refers to it{suggest(name, siblings)}')


def _is_in(name: str, owner: str) -> bool:
    """Whether a name, a part of which may be ``*``, lies in a table."""
    return fnmatchcase(owner, name.rpartition('.')[0])


def named_in(configs: Iterable[dict]) -> set[str]:
    """Names that values of configs refer to; a part that a word chooses is ``*``."""
    found = set()
    for text in (text for values in configs for text in _texts(values)):
        while match := ANY_REFERENCE.search(text):
            found.add(match[1])
            text = text.replace(match[0], '*')
    return found


@lru_cache
def shipped() -> tuple[dict, ...]:
    """Values of the shipped bases, which a config may be made of although it tells no files."""
    bases = (
        'models/timesformer.py',
        'datasets/videos.py',
        'schedules/paper.py',
        'default_runtime.py',
        'clips/8x32_224.py',
    )
    return tuple(from_file(config_path(f'mmtsf::_base_/{base}')).to_dict() for base in bases)


@lru_cache
def shipped_names() -> frozenset[str]:
    """Names that the shipped bases refer to: a child may have no use for some, also where a run has left it whole."""
    return frozenset(named_in(shipped()))


def _texts(values: Any) -> Iterator[str]:
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, (list, tuple)):
        for value in values:
            yield from _texts(value)
    elif isinstance(values, str):
        yield values


def _check_second_places(names: Names) -> None:
    """Refuse a literal in the place of a reference where other values still follow what it referred to.

    Where none does, the literal takes effect: there is no second place.
    """
    origins = [*shipped(), *(values for _, values in names.lineage)]
    places = {
        found for values in origins for found in _references(values) if _is_same_part(found[0], values, names.values)
    }
    written = [(place, reference, _at(names.values, place)) for place, reference in sorted(places)]
    for place, reference, literal in [*written, *names.overridden]:
        if literal is ... or isinstance(literal, dict) or REFERENCE.search(str(literal)):
            continue
        name = reference[2:-1]
        value = _at(names.values, name)
        if value is ... or REFERENCE.search(str(value)) or value == literal or not _meets(name, names.used):
            continue
        raise ValueError(
            f'{place} is {literal!r}, but other values of this config follow {name}, which is {value!r}; set '
            f'{name}={literal!r} instead, and all of them are'
        )


def _references(values: Any, place: str = '') -> Iterator[tuple[str, str]]:
    """Dotted places whose value is one reference to a plain name."""
    if isinstance(values, (list, tuple)):
        values = dict(enumerate(values))
    if isinstance(values, dict):
        for key, value in values.items():
            yield from _references(value, f'{place}.{key}' if place else str(key))
    elif isinstance(values, str) and REFERENCE.fullmatch(values):
        yield place, values


def _is_same_part(place: str, before: dict, now: dict) -> bool:
    """Whether a place within a list is one of a transform that is still there; other lists are replaced as a whole."""
    owner, _, _ = place.rpartition('.')
    if not any(key.isdigit() for key in place.split('.')):
        return True
    kinds = [_at(values, f'{owner}.type') for values in (before, now)]
    return 'pipeline' in place and kinds[0] == kinds[1] != ...


def _at(values: Any, name: str) -> Any:
    """The value at a dotted name, ``...`` if there is none; items of a list have numbers."""
    for key in name.split('.'):
        if isinstance(values, (list, tuple)):
            values = {str(number): item for number, item in enumerate(values)}
        if not isinstance(values, dict) or key not in values:
            return ...
        values = values[key]
    return values


def _meets(name: str, others: set[str]) -> bool:
    """Whether a name is one of others, or a part or the whole of one."""
    return any(_within(name, other) or _within(other, name) for other in others)


def _within(name: str, table: str) -> bool:
    return name == table or name.startswith(f'{table}.')


def _unused(name: str, value: Any, named: set[str]) -> Iterator[str]:
    """Names in a table that nothing refers to."""
    if name in named or any(fnmatchcase(name, other) for other in named if '*' in other):
        return
    if not isinstance(value, dict):
        yield name
        return
    for key, item in value.items():
        if key != USE:
            yield from _unused(f'{name}.{key}', item, named)


def suggest(key: str, known: Iterable[str], unlisted: Iterable[str] = ()) -> str:
    """The nearest of the known names; else all of them but those that are too many to help."""
    close = difflib.get_close_matches(key, known, n=1)
    listed = sorted(set(known) - set(unlisted))
    return f'; did you mean {close[0]!r}?' if close else f'; known are {", ".join(map(repr, listed))}'


@lru_cache
def runner_keys() -> frozenset[str]:
    """Top-level keys that a runner or a tool reads."""
    from mmengine.runner import Runner

    of_mmengine = (
        'activation_checkpointing',
        'compile',
        'custom_imports',
        'efficient_conv_bn_eval',
        'find_unused_parameters',
        'model_wrapper_cfg',
        'runner_type',
        'sync_bn',
    )
    ours = ('amp', 'global_batch_size', 'new_data', 'parallel', 'tf32')
    return frozenset((*of_mmengine, *ours, *inspect.signature(Runner).parameters))
