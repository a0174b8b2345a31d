"""Put values in the place of references to them: ``'${clip.num_frames}'``.

A clip's geometry, a data set's size, the test protocol stand in one table of a config, and everything that depends on
them refers to it. A child config, or ``--cfg-options clip.num_frames=16``, changes that one place. A dict with the key
``_use_`` is what that refers to, changed by the dict's other keys.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config

from .checks import USE, Names, check, check_patches, named_in, refuse_old_keys, runner_keys, suggest
from .data_source import found_data
from .lineage import inherited
from .words import check_sizes, merged, with_words

REFERENCE = re.compile(r'\$\{([\w.]+)\}')
#: Top-level keys that stay in a resolved config although others refer to them: MMAction2's APIs read them
PIPELINES = ('train_pipeline', 'val_pipeline', 'test_pipeline')


@dataclass
class Resolver:
    """What references of a config stand for, and which names they have used.

    Args:
        values (dict): The config in plain dicts.
    """

    values: dict
    #: Dotted names that references have named so far
    named: set[str] = field(default_factory=set)
    #: Literals in the place of a reference in a dict that ``_use_`` names: place, reference, literal
    overridden: list[tuple[str, str, Any]] = field(default_factory=list)

    def resolve(self, value: Any, place: str = '') -> Any:
        """``value``, which stands at a dotted ``place``, with all references replaced.

        Raises:
            KeyError: If a reference names nothing.
        """
        if isinstance(value, dict):
            inside = {
                key: self.resolve(item, f'{place}.{key}'.lstrip('.')) for key, item in value.items() if key != USE
            }
            return merged(self._used(value, place), inside) if USE in value else inside
        if type(value) in (list, tuple):
            return type(value)(self.resolve(item, f'{place}.{number}') for number, item in enumerate(value))
        if isinstance(value, str) and (match := REFERENCE.fullmatch(value := self.expanded(value))):
            self.named.add(match[1])
            return self.resolve(self.look_up(match[1], place), match[1])
        return self.found(value, place)

    def expanded(self, text: str) -> str:
        """A text with the references within it replaced, as in ``'${protocols.${protocol}.start}'``; one that is all of
        it stays."""
        while (match := REFERENCE.search(text)) and match[0] != text:
            text = text.replace(match[0], str(self.resolve(match[0])))
        return text

    def found(self, value: Any, place: str) -> Any:
        """A value that stands for itself, at its place."""
        return value

    def look_up(self, name: str, place: str = '') -> Any:
        """The value at a dotted name, with its own references; ``place`` is where a reference to it stands.

        Raises:
            KeyError: If there is none.
        """
        value: Any = self.values
        keys = name.split('.')
        for depth, key in enumerate(keys):
            if isinstance(value, str) and REFERENCE.search(value):
                value = self.resolve(value)
            if isinstance(value, dict) and USE in value and isinstance(value.get(key, {}), dict):
                value = self.resolve(value, '.'.join(keys[:depth]))  # what it begins as has the key, or a part of it
            if not isinstance(value, dict) or key not in value:
                known = list(value) if isinstance(value, dict) else []
                raise KeyError(
                    f"a config value refers to '${{{name}}}', but there is no {key!r} in it"
                    f'{suggest(key, known, runner_keys() if value is self.values else ())}'
                    + (f'; it stands at {place}' if place else '')
                )
            value = value[key]
        return value

    def _used(self, written: dict, place: str) -> dict:
        """The dict that ``_use_`` names, without what is written in the place of its values."""
        name, used = self._followed(written[USE])
        if not isinstance(used, dict):
            raise ValueError(f'{USE}={written[USE]!r} of {place} names {used!r}, expected a dict')
        literals = {key: item for key, item in written.items() if key in used and not isinstance(item, dict)}
        self.overridden += [
            (f'{place}.{key}', used[key], item)
            for key, item in literals.items()
            if REFERENCE.fullmatch(str(used[key])) and used[key] != item
        ]
        return self.resolve({key: item for key, item in used.items() if key not in literals}, name)

    def _followed(self, value: Any, name: str = '') -> tuple[str, Any]:
        """What a reference comes to, and the name that leads there."""
        if isinstance(value, str) and (match := REFERENCE.fullmatch(self.expanded(value))):
            self.named.add(match[1])
            return self._followed(self.look_up(match[1]), match[1])
        return name, value


def refuse_references(values: Any, owner: str) -> None:
    """Refuse values that still refer to others where a part of a run is built.

    Args:
        values (Any): Its arguments.
        owner (str): What is built.

    Raises:
        ValueError: If there are any, with the remedy.
    """
    if REFERENCE.search(str(values)) and (found := next(_references(values), None)):
        place, reference = found
        raise ValueError(
            f'{owner} was given {place}={reference!r}, a reference to another value of its config; resolve the config '
            'first: mmtsf.config.resolve(config), or mmtsf.config.load_config(path)'
        )


def _references(values: Any, place: str = '') -> Iterator[tuple[str, str]]:
    """Dotted places of texts that refer to something."""
    if isinstance(values, (list, tuple)):
        values = dict(enumerate(values))
    if isinstance(values, dict):
        for key, value in values.items():
            yield from _references(value, f'{place}.{key}' if place else str(key))
    elif isinstance(values, str) and REFERENCE.search(values):
        yield place, values


def resolve(config: Config, options: Iterable[str] = ()) -> Config:
    """A config with values in the place of all references, and without the tables that they referred to.

    A resolved config stays as it is.

    Args:
        config (Config): From :meth:`mmengine.Config.fromfile`, perhaps changed.
        options (Iterable[str]): Dotted names of values that were changed and must have an effect. Defaults to ``()``.

    Raises:
        KeyError: If a reference names nothing.
        ValueError: If a key or option has no effect, or its word is of an older config, or a value is set in a second
            place, or values refer to each other in a circle, or the config asks for a recipe that was not read.
    """
    refuse_old_keys(config.to_dict())
    values = with_words(config.to_dict())
    options, lineage = tuple(options), inherited(config)
    if found := found_data(values, lineage, options):
        values['data'] = values['data'] | found
    everything, used = Resolver(values), Resolver(values)
    try:
        everything.resolve(values)  # also branches that no word chooses
        named = everything.named | named_in([values, *(inherited_values for _, inherited_values in lineage)])
        tables = {name.split('.')[0] for name in named} - runner_keys()
        resolved = {key: used.resolve(value, key) for key, value in values.items() if key not in tables}
        pipelines = {key: Resolver(values).resolve(values[key]) for key in PIPELINES if key in values}
    except RecursionError:
        raise ValueError(f'values of {config.filename} refer to each other in a circle') from None
    check(Names(values, tables, named, used.named, used.overridden, lineage), options)
    backbone = (resolved.get('model') or {}).get('backbone')
    check_sizes(values, backbone)
    check_patches(backbone)
    hooks = resolved.get('default_hooks')
    if isinstance(hooks, dict) and hooks.get('ema', ...) is None:
        del hooks['ema']  # a hook that the recipe has no use for
    for transform in pipelines.get('test_pipeline', []):
        transform.setdefault(
            '_scope_', values.get('default_scope')
        )  # MMAction2's inferencers have a scope of their own
    text = config.text or '# no file'  # else MMEngine would open the file once more, wherever it is by now
    return Config(resolved | pipelines, cfg_text=text, filename=config.filename)
