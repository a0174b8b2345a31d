"""Translate weights of timm's ViT and DeiT, and of code with the same names."""

import math

import torch

from mmtsf.weights.key_table import KeyTable

from .origin import POSITIONS, Origin, State, step_names


def _unpack(state: State) -> State:
    """Remove the distillation token, which DeiT puts after the classification token; where the latter has no position,
    as in DeiT III, it is zero."""
    if 'pos_embed' not in state:
        return state
    positions = state['pos_embed']
    if 'dist_token' in state:
        positions = torch.cat([positions[:, :1], positions[:, 2:]], dim=1)
    elif math.isqrt(positions.shape[1]) ** 2 == positions.shape[1]:
        positions = torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)
    return dict(state, pos_embed=positions)


NAMES = KeyTable(
    {
        'cls_token': 'backbone.embedding.cls',
        'pos_embed': POSITIONS,
        'patch_embed.proj.{p}': 'backbone.embedding.patch.{p}',
        'blocks.{i}.norm2.{p}': 'backbone.blocks.{i}.norm.{p}',
        'blocks.{i}.mlp.fc1.{p}': 'backbone.blocks.{i}.mlp.0.{p}',
        'blocks.{i}.mlp.fc2.{p}': 'backbone.blocks.{i}.mlp.2.{p}',
        'norm.{p}': 'backbone.norm.{p}',
        'head.{p}': 'cls_head.fc_cls.{p}',
        **step_names(
            {
                'blocks.{i}.norm1.{p}': 'norm',
                'blocks.{i}.attn.qkv.{p}': 'qkv',
                'blocks.{i}.attn.proj.{p}': 'proj',
            },
            'space',
        ),
    }
)
TIMM = Origin('timm', {'image': NAMES}, unused=r'dist_token|head_dist\..*|pre_logits\..*', unpack=_unpack)
