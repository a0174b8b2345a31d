"""Translate weights of DeiT III: the authors' files and timm's."""

from mmtsf.weights.key_table import KeyTable

from .origin import Origin, State, renamed
from .timm import NAMES, TIMM

BLOCK = 'backbone.blocks.{i}'


def _unpack(state: State) -> State:
    return TIMM.unpack(renamed(state, {r'\.gamma_([12])$': r'.ls\1.gamma'}))


def _options(state: State) -> dict:
    next(key for key in _unpack(state) if key.endswith('.ls1.gamma'))  # no file of another origin
    return dict(layer_scale=1e-4)


DEIT3 = Origin(
    'deit3',
    {
        'image': KeyTable(
            NAMES.names
            | {
                'blocks.{i}.ls1.gamma': f'{BLOCK}.attention.steps.space.scale.gamma',
                'blocks.{i}.ls2.gamma': f'{BLOCK}.mlp.3.gamma',
            }
        )
    },
    unpack=_unpack,
    options=_options,
)
