"""Translate weights of DINOv2, with and without register tokens: the authors' files and Hugging Face's."""

import re
from math import isqrt

import torch
from torch import Tensor

from mmtsf.weights.geometry import ATTENTIONS, told_options
from mmtsf.weights.key_table import KeyTable

from .origin import Origin, State, joined, renamed
from .timm import NAMES, TIMM

#: Names of Hugging Face, of transformers 4 and 5, and of blocks in chunks, as patterns, and the authors'
RENAMED = {
    r'^dinov2(_with_registers)?\.': '',
    r'^embeddings\.(cls_token|mask_token|register_tokens)$': r'\1',
    r'^embeddings\.position_embeddings$': 'pos_embed',
    r'^embeddings\.patch_embeddings\.projection\.': 'patch_embed.proj.',
    r'^encoder\.layer\.': 'blocks.',
    r'^blocks\.\d+\.(\d+\.)': r'blocks.\1',
    r'\.attention\.(attention\.query|q_proj)\.': '.attn.query.',
    r'\.attention\.(attention\.key|k_proj)\.': '.attn.key.',
    r'\.attention\.(attention\.value|v_proj)\.': '.attn.value.',
    r'\.attention\.(output\.dense|o_proj)\.': '.attn.proj.',
    r'\.layer_scale([12])\.lambda1$': r'.ls\1.gamma',
    r'\.mlp\.weights_in\.': '.mlp.w12.',
    r'\.mlp\.(weights_out|down_proj)\.': '.mlp.w3.',
    r'^layernorm\.': 'norm.',
    r'^reg_token$': 'register_tokens',
}
#: Rows of layers that start with the gate, whose values come first here
GATED = re.compile(r'(blocks\.\d+\.mlp)\.w12\.(weight|bias)')
#: Table rows of what a ViT lacks: layer scale, and the layers of a gated MLP
PARTS = {
    'blocks.{i}.ls1.gamma': 'backbone.blocks.{i}.attention.steps.space.scale.gamma',
    'blocks.{i}.ls2.gamma': 'backbone.blocks.{i}.mlp.3.gamma',
    'blocks.{i}.mlp.w12.{p}': 'backbone.blocks.{i}.mlp.0.{p}',
    'blocks.{i}.mlp.w3.{p}': 'backbone.blocks.{i}.mlp.2.{p}',
}


def _unpack(state: State) -> State:
    """Bring all names to the authors', and join queries, keys and values."""
    if 'reg_token' in state:  # of timm, whose classification token has its position added
        state = TIMM.unpack(state)
    state = {key: value for key, value in renamed(state, RENAMED).items() if value.numel()}  # no registers are none
    state = joined(state, ('attn.query', 'attn.key', 'attn.value'))
    state = joined(state, ('mlp.gate_proj', 'mlp.up_proj'), 'w12')
    patches = state['pos_embed'].shape[1] - 1
    if 'blocks.0.ls1.gamma' not in state or isqrt(patches) ** 2 != patches:  # as DeiT III's, without a token's position
        raise LookupError('this is no DINOv2')
    return values_first(state)


def values_first(state: State) -> State:
    """Put, of the layers that start with the gate, the half of rows that are values before the half that are gates."""
    return {key: _swapped(value) if GATED.fullmatch(key) else value for key, value in state.items()}


def _swapped(gated: Tensor) -> Tensor:
    gates, values = gated.chunk(2)
    return torch.cat([values, gates])


def parts_of(state: State, registers: str) -> dict:
    """Return the parts that the authors' names tell."""
    parts: dict = dict(layer_scale=1.0)
    if registers in state:
        parts['embedding'] = dict(type='RegisterEmbedding', num_registers=state[registers].shape[1])
    if any(GATED.fullmatch(key) for key in state):
        parts['mlp'] = dict(type='GatedMLP', activation='silu')
    return parts


def _options(state: State) -> dict:
    parts = parts_of(_unpack(state), 'register_tokens') | dict(norm_eps=1e-6)
    if 'embedding' in parts:
        parts['embedding']['antialias'] = True
    return parts


def _told(config: dict, scheme: str, state: State) -> dict:
    options: dict = dict(attention=dict(type=ATTENTIONS[scheme], qkv_bias=config.get('qkv_bias', True)))
    options |= dict(num_heads=12, norm_eps=1e-6)
    model_type = 'dinov2_with_registers' if 'backbone.embedding.registers' in state else 'dinov2'
    if config.get('model_type') == 'dinov2_with_registers' and config.get('num_register_tokens') == 0:
        model_type, options['embedding'] = 'dinov2_with_registers', dict(type='ClipEmbedding', antialias=True)
    return told_options(config, dict(model_type=model_type), options)


DINOV2 = Origin(
    'dinov2',
    {
        'image': KeyTable(
            {theirs: ours for theirs, ours in NAMES.names.items() if not theirs.startswith('head.')}
            | PARTS
            | {'register_tokens': 'backbone.embedding.registers'}
        )
    },
    unused=r'mask_token|(classifier|head)\.\w+',
    unpack=_unpack,
    options=_options,
    told=_told,
    any_size=True,
)
