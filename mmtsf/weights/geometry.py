"""The model that a file of weights tells."""

import re
from typing import Any

from torch import nn

from mmtsf.registry import MODELS

from .translate import Weights

ATTENTIONS = {
    'divided': 'DividedAttention',
    'joint': 'JointAttention',
    'space': 'SpaceAttention',
    'image': 'SpaceAttention',
}


def backbone_config(weights: Weights, num_heads: int | None = None) -> dict:
    """Config of the backbone that weights are for.

    Args:
        weights (Weights): The weights.
        num_heads (int, optional): Number of heads, which few files tell. Defaults to None: as the file says, or heads
            of 64 channels.
    """
    if weights.origin == 'mmtsf':
        if not weights.options:
            raise ValueError('this file does not say what model it is of; give its config')
        return dict(weights.options)
    state = weights.state
    patch, space = state['backbone.embedding.patch.weight'], state.get('backbone.embedding.space')
    height, width = (14, 14) if space is None else space.shape[1:3]
    time = state.get('backbone.embedding.time')
    embed_dims, patch_size = patch.shape[0], patch.shape[-1]
    blocks = {int(match[1]) for match in map(re.compile(r'backbone\.blocks\.(\d+)\.').match, state) if match}
    config: dict[str, Any] = dict(
        type='TimeSformer',
        attention=dict(type=ATTENTIONS[weights.scheme]),
        num_frames=time.shape[1] if time is not None else 1 if weights.scheme == 'image' else 8,
        img_size=(height * patch_size, width * patch_size),
        patch_size=patch_size,
        embed_dims=embed_dims,
        num_heads=num_heads or max(embed_dims // 64, 1),
        num_layers=max(blocks) + 1,
        drop_path_rate=0.0,
    )
    for name, value in weights.options.items():
        config[name] = dict(config.get(name, {}), **value) if isinstance(value, dict) else value
    ratio = state['backbone.blocks.0.mlp.2.weight'].shape[1] / embed_dims
    if ratio != 4:
        config['mlp'] = dict(dict(type='MLP'), **config.get('mlp', {}), ratio=ratio)
    return config


def head_config(weights: Weights) -> dict | None:
    """Config of the head that weights are for, or None where they have no head."""
    classifier = weights.state.get('cls_head.fc_cls.weight')
    if classifier is None:
        return None
    return dict(type='TimeSformerHead', num_classes=classifier.shape[0], in_channels=classifier.shape[1])


def build(weights: Weights, num_heads: int | None = None) -> nn.Module:
    """An untrained model with the geometry of the weights: ``backbone``, and ``cls_head`` where they have a head."""
    configs = dict(backbone=backbone_config(weights, num_heads), cls_head=head_config(weights))
    return nn.ModuleDict({name: MODELS.build(config) for name, config in configs.items() if config})
