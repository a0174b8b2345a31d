"""Build the model that weights belong to, from the file's metadata and its tensors."""

import re
import warnings
from typing import Any

import torch
from torch import nn

from mmtsf.registry import MODELS
from mmtsf.utils.text import shorten

from .geometry import ATTENTIONS, Geometry
from .origins import State
from .translate import OURS, Weights

#: Heads of published models of other than 64 channels each, by the width of their tokens
HEADS = {1280: 16, 1408: 16, 1664: 16}
BLOCK = re.compile(r'backbone\.blocks\.(\d{1,6})\.')


def backbone_config(weights: Weights, num_heads: int | None = None) -> dict:
    """Return the config of the backbone that weights belong to.

    Args:
        weights (Weights): The weights.
        num_heads (int, optional): Number of heads, which few files tell. Defaults to None: as the file says, or heads
            of 64 channels.

    Raises:
        ValueError: If the file does not tell, or not what its tensors are.
    """
    told = weights.options
    if weights.origin == OURS and (told is None or told == {}):
        raise ValueError('this file does not say what model it is of; give its config (--config)')
    try:
        measured = _measured(weights.state)
        geometry = Geometry.parse(told if weights.origin == OURS else _guessed(weights, measured, num_heads)).config()
        for name, size in measured.items():
            if geometry[name] != size:
                raise ValueError(f'{name} is {geometry[name]}, and {size} by its weights')
    except ValueError as error:
        raise ValueError(
            f'what this file tells of its model is not taken: {error}; give its config (--config)'
        ) from None
    if num_heads not in (None, geometry['num_heads']):
        raise ValueError(f'num_heads is {num_heads}, and this file says {geometry["num_heads"]}; leave it out')
    return geometry


def _measured(state: State) -> dict[str, Any]:
    """Return the options that tensor shapes determine."""
    axes = {
        'embedding.patch.weight': (4, 5),
        'embedding.space': (4,),
        'embedding.time': (3,),
        'blocks.0.mlp.2.weight': (2,),
    }
    shapes = {name: tuple(state[f'backbone.{name}'].shape) for name in axes if f'backbone.{name}' in state}
    if odd := [name for name, shape in shapes.items() if len(shape) not in axes[name] or not all(shape)]:
        expected = ' or '.join(map(str, axes[odd[0]]))
        raise ValueError(f'backbone.{odd[0]} is {shapes[odd[0]]}, expected {expected} axes')
    if lacking := {'embedding.patch.weight', 'blocks.0.mlp.2.weight'} - set(shapes):
        raise ValueError(f'the weights lack backbone.{min(lacking)}')
    blocks = {int(match[1]) for match in map(BLOCK.match, state) if match}
    if blocks != set(range(len(blocks))):
        raise ValueError(f'the weights have blocks {shorten(map(str, sorted(blocks)))}, expected all from 0 on')
    embed_dims, *_, patch_size = shapes['embedding.patch.weight']
    options: dict[str, Any] = dict(embed_dims=embed_dims, patch_size=patch_size, num_layers=len(blocks))
    if space := shapes.get('embedding.space'):
        options['img_size'] = (space[1] * patch_size, space[2] * patch_size)
    if time := shapes.get('embedding.time'):
        options['num_frames'] = time[1]
    return options


def _guessed(weights: Weights, measured: dict[str, Any], num_heads: int | None) -> dict[str, Any]:
    """Guess the options of another origin's weights: defaults, then tensor shapes, then the file's metadata."""
    width = measured['embed_dims']
    usual = dict(
        num_frames=1 if weights.scheme == 'image' else 8,
        img_size=14 * measured['patch_size'],
        num_heads=HEADS.get(width, max(width // 64, 1)) if num_heads is None else num_heads,
    )
    parts = dict(
        attention=dict(type=ATTENTIONS[weights.scheme]),
        mlp=dict(ratio=weights.state['backbone.blocks.0.mlp.2.weight'].shape[1] / width),
    )
    parts = {name: part | weights.options.get(name, {}) for name, part in parts.items()}
    if parts['mlp'].get('activation', 'gelu') is None:
        del parts['mlp']['activation']
        warnings.warn(
            "the checkpoint does not tell the MLP's activation, and GELU is taken, as in most models of OpenCLIP; "
            "OpenAI's have quick_gelu, which --config with model.backbone.mlp.activation=quick_gelu tells",
            stacklevel=2,
        )
    return usual | measured | weights.options | parts


def head_config(weights: Weights) -> dict | None:
    """Return the config of the head that weights belong to, or None if they have no head."""
    classifier = weights.state.get('cls_head.fc_cls.weight')
    if classifier is None:
        return None
    if classifier.ndim != 2:
        raise ValueError(f'cls_head.fc_cls.weight is {tuple(classifier.shape)}, expected two axes')
    told = {} if weights.multi_class is None else dict(multi_class=weights.multi_class)
    return dict(type='TimeSformerHead', num_classes=classifier.shape[0], in_channels=classifier.shape[1], **told)


def build(weights: Weights, num_heads: int | None = None) -> nn.Module:
    """Build an untrained model with the weights' geometry: ``backbone``, and ``cls_head`` if they have a head.

    Raises:
        ValueError: If the file tells of another model than its weights are of.
    """
    configs = dict(backbone=backbone_config(weights, num_heads), cls_head=head_config(weights))
    with torch.device('meta'):  # takes no memory
        sizes = {key: value.shape for key, value in _built(configs).state_dict().items()}
    if odd := [key for key, size in sizes.items() if key not in weights.state or weights.state[key].shape != size]:
        raise ValueError(
            f'this file tells of a model of which {len(odd)} weights are missing in it, or of another size: '
            f'{shorten(odd)}; give its config (--config)'
        )
    return _built(configs)


def _built(configs: dict[str, Any]) -> nn.ModuleDict:
    return nn.ModuleDict({name: MODELS.build(config) for name, config in configs.items() if config})
