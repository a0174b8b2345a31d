"""Add the words that a config's references name and it does not say itself: a recipe's, and architectures."""

from typing import Any

from mmtsf.utils.vits import AUTO, published_of, shipped_vits, vit_of

from .checks import is_ours
from .recipes import usual_words

#: Options of a backbone that weights decide
SIZES = ('patch_size', 'embed_dims', 'num_heads', 'num_layers')


def with_words(values: dict) -> dict:
    """Return the values of a config with the usual words of recipes where it has none, with the table of architectures,
    its own among them, and with the name of the one that it is for.

    Raises:
        ValueError: If it names one that there is not, or another one than that of the weights it starts from.
    """
    values, text = dict(values), str(values)
    if '${training.' in text:  # a schedule of one's own has the usual words
        values['training'] = merged(usual_words()['training'], values.get('training', {}))
    if '${vits.' in text:
        values['vits'] = merged(shipped_vits(), values.get('vits', {}))
        values['vit'] = vit_of(values.get('vit', AUTO), _starts(values), values['vits'])
    return values


def check_sizes(values: dict, backbone: Any) -> None:
    """Refuse another model than that of the published weights that a config starts from, before they are fetched.

    Args:
        values (dict): The config.
        backbone: Its resolved backbone.

    Raises:
        ValueError: With the option that does not fit.
    """
    start = published_of(_starts(values), shipped_vits())
    if start is None or not is_ours(backbone):
        return
    for name in SIZES:
        told, has = shipped_vits()[start]['backbone'][name], backbone.get(name)
        if told != has:
            raise ValueError(
                f'model.backbone.{name} is {has}, and start={start} has {told}; leave model.backbone.{name} out, or '
                'start from other weights'
            )


def _starts(values: dict) -> list[Any]:
    """What the weights of a config's backbone are taken from, the last first."""
    part: Any = values
    for name in ('model', 'backbone', 'init_cfg', 'checkpoint'):
        part = part.get(name) if isinstance(part, dict) else None
    return [values.get('load_from'), values.get('start') if part == '${start}' else part]


def merged(base: dict, changes: dict) -> dict:
    """``base`` with dicts changed key by key and everything else replaced, as MMEngine does for child configs and
    options; keys of a list are numbers of its items.

    Raises:
        ValueError: If a list is changed at another key.
    """
    result = dict(base)
    for key, value in changes.items():
        before = result.get(key)
        if isinstance(value, dict) and isinstance(before, (list, tuple)) and '_delete_' not in value:
            items = {str(number): item for number, item in enumerate(before)}
            if odd := [place for place in map(str, value) if place not in items]:
                raise ValueError(f'{key} is a list of {len(items)} and has no item {odd[0]!r}; replace it as a whole')
            items = merged(items, {str(place): item for place, item in value.items()})
            result[key] = type(before)(items.values())
        elif isinstance(value, dict):
            own = {name: item for name, item in value.items() if name != '_delete_'}
            keeps = isinstance(before, dict) and not value.get('_delete_')
            result[key] = merged(result[key], own) if keeps else own
        else:
            result[key] = value
    return result
