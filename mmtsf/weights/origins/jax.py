"""Translate ``.npz`` files of the original ViT and AugReg, github.com/google-research/vision_transformer."""

import re

import torch

from .origin import Origin, State
from .timm import NAMES

BLOCK = re.compile(r'Transformer/encoderblock_(\d+)/(.+)')
PARTS = {
    'LayerNorm_0': 'norm1',
    'LayerNorm_2': 'norm2',
    'MlpBlock_3/Dense_0': 'mlp.fc1',
    'MlpBlock_3/Dense_1': 'mlp.fc2',
    'MultiHeadDotProductAttention_1/out': 'attn.proj',
}
OUTSIDE = {
    'cls': 'cls_token',
    'Transformer/posembed_input/pos_embedding': 'pos_embed',
    'embedding': 'patch_embed.proj',
    'Transformer/encoder_norm': 'norm',
    'head': 'head',
}
ATTENTION = 'MultiHeadDotProductAttention_1/'


def _unpack(state: State) -> State:
    """Convert to timm's names and PyTorch's shapes: transpose kernels, join query, key and value, flatten heads."""
    unpacked = {}
    for key, value in state.items():
        match = BLOCK.fullmatch(key)
        name, _, leaf = (match[2] if match else key).rpartition('/')
        if key in OUTSIDE:
            unpacked[OUTSIDE[key]] = value
        elif match and name == f'{ATTENTION}query':
            qkv = [state[key.replace('query', part)] for part in ('query', 'key', 'value')]
            start = 1 if leaf == 'kernel' else 0  # (C, heads, c) or (heads, c)
            unpacked[f'blocks.{match[1]}.attn.qkv.{_kind(leaf)}'] = torch.cat([x.flatten(start) for x in qkv], -1).T
        elif match and name in (f'{ATTENTION}key', f'{ATTENTION}value'):
            continue
        else:
            outer = f'blocks.{match[1]}.{PARTS.get(name, name)}' if match else OUTSIDE.get(name, name)
            unpacked[f'{outer}.{_kind(leaf)}'] = _linear(name, leaf, value)
    return unpacked


def _kind(leaf: str) -> str:
    return {'kernel': 'weight', 'scale': 'weight'}.get(leaf, leaf)


def _linear(name: str, leaf: str, value: torch.Tensor) -> torch.Tensor:
    if leaf != 'kernel':
        return value
    if name == 'embedding':
        return value.permute(3, 2, 0, 1)  # (P, P, 3, C)
    if name == f'{ATTENTION}out':
        value = value.flatten(0, 1)  # (heads, c, C)
    return value.T


def _heads(state: State) -> dict:
    query = next((value for key, value in state.items() if key.endswith(f'{ATTENTION}query/bias')), None)
    return {} if query is None else dict(num_heads=len(query))


JAX = Origin('jax', {'image': NAMES}, unused=r'pre_logits\..*', unpack=_unpack, options=_heads)
