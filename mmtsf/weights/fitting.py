"""Find the architectures of published weights that a file fits."""

import warnings
from math import isclose
from typing import Any

from mmtsf.utils.vits import shipped_vits

from .build import backbone_config
from .geometry import Geometry
from .translate import OURS, Weights

#: Options that tensors decide, and those of them that a file may leave untold
DECIDED = ('patch_size', 'embed_dims', 'num_layers', 'pool', 'step', 'layer_scale')
UNTOLD = ('num_heads', 'norm_eps')


def fitting_vits(weights: Weights) -> list[str]:
    """Return the names of the architectures that weights fit, as far as they tell; none of another size."""
    if weights.origin == OURS:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of what is guessed, which is not compared
            told = backbone_config(weights)
    except ValueError:
        return []
    known = [*DECIDED, *(name for name in UNTOLD if name in weights.options)]
    activation = weights.options.get('mlp', {}).get('activation', ...)
    return [name for name, vit in shipped_vits().items() if _fits(told, vit['backbone'], known, activation is None)]


def fitting_words(weights: Weights) -> str:
    """Say which word chooses the architecture that weights fit."""
    return ' or '.join(f'vit={name}' for name in fitting_vits(weights)) or 'vit=NAME'


def _fits(told: dict, backbone: dict, known: list[str], any_activation: bool) -> bool:
    vit = Geometry.parse(dict(backbone, attention=told['attention'])).config()
    words = {name: (told[name], vit[name]) for name in known}
    words['layer_scale'] = (told['layer_scale'] is None, vit['layer_scale'] is None)  # which is how it starts
    words |= {f'embedding.{name}': (value, vit['embedding'].get(name)) for name, value in told['embedding'].items()}
    if any_activation:
        words['mlp.type'] = (told['mlp']['type'], vit['mlp']['type'])
    else:
        words |= {f'mlp.{name}': (told['mlp'][name], vit['mlp'][name]) for name in ('type', 'activation')}
    ratios: Any = (told['mlp']['ratio'], vit['mlp']['ratio'])
    return isclose(*ratios, rel_tol=1e-3) and all(_same(*pair) for pair in words.values())


def _same(one: Any, other: Any) -> bool:
    return list(one) == list(other) if isinstance(one, (list, tuple)) and other is not None else one == other
