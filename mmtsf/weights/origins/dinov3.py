"""Translate weights of DINOv3's vision transformers: the authors' files, Hugging Face's, and timm's."""

import re

import torch

from mmtsf.weights.geometry import ATTENTIONS, told_activation, told_options
from mmtsf.weights.key_table import KeyTable

from .dinov2 import PARTS, parts_of, values_first
from .origin import Origin, State, joined, renamed
from .timm import NAMES

#: Names of Hugging Face, of transformers 4 and 5, and of timm, as patterns, and the authors'
RENAMED = {
    r'^embeddings\.(cls_token|mask_token)$': r'\1',
    r'^embeddings\.register_tokens$': 'storage_tokens',
    r'^embeddings\.patch_embeddings\.': 'patch_embed.proj.',
    r'^(model\.)?layer\.': 'blocks.',
    r'\.attention\.q_proj\.': '.attn.query.',
    r'\.attention\.k_proj\.': '.attn.key.',
    r'\.attention\.v_proj\.': '.attn.value.',
    r'\.attention\.o_proj\.': '.attn.proj.',
    r'\.layer_scale([12])\.lambda1$': r'.ls\1.gamma',
    r'\.mlp\.w1\.': '.mlp.gate_proj.',
    r'\.mlp\.w2\.': '.mlp.up_proj.',
    r'^reg_token$': 'storage_tokens',
    r'\.gamma_([12])$': r'.ls\1.gamma',
    r'\.mlp\.fc1_g\.': '.mlp.gate_proj.',
    r'\.mlp\.fc1_x\.': '.mlp.up_proj.',
}
#: Names of the MLP, of which two are those of a gated one, too
PLAIN_NAMES = {r'\.mlp\.up_proj\.': '.mlp.fc1.', r'\.mlp\.down_proj\.': '.mlp.fc2.'}
GATED_NAMES = {r'\.mlp\.(down_proj|fc2)\.': '.mlp.w3.'}
QKV = ('attn.query', 'attn.key', 'attn.value')
TIMM_BIAS = re.compile(r'(blocks\.\d+\.attn\.)q_bias')
MASKED = re.compile(r'(blocks\.\d+\.attn\.qkv\.bias)_mask')
PERIODS, BASE = 'rope_embed.periods', 100.0


def _unpack(state: State) -> State:
    """Bring all names to the authors', join queries, keys and values, and give keys a bias of zero."""
    state = {key: value for key, value in renamed(state, RENAMED).items() if value.numel()}  # no registers are none
    gated = any('.mlp.gate_proj.' in key for key in state)
    state = renamed(state, GATED_NAMES if gated else PLAIN_NAMES)
    _add_biases(state)
    state = joined(joined(state, QKV), ('mlp.gate_proj', 'mlp.up_proj'), 'w12')
    if 'blocks.0.ls1.gamma' not in state or 'pos_embed' in state:
        raise LookupError('this is no DINOv3')
    for block in [match[1] for match in map(TIMM_BIAS.fullmatch, list(state)) if match]:
        query, value = state.pop(f'{block}q_bias'), state.pop(f'{block}v_bias')
        state[f'{block}qkv.bias'] = torch.cat([query, torch.zeros_like(query), value])
    for key in [match[1] for match in map(MASKED.fullmatch, state) if match]:
        query, key_bias, value = state[key].chunk(3)  # of which the mask leaves no bias of keys
        state[key] = torch.cat([query, torch.zeros_like(key_bias), value])
    return values_first(state)


def _add_biases(state: State) -> None:
    """Add biases of zero of queries, keys or values that have none in all blocks, where others have one."""
    there = [part for part in QKV if any(key.endswith(f'{part}.bias') for key in state)]
    for part in set(QKV) - set(there) if there else ():
        for key in [key for key in state if key.endswith(f'{part}.weight')]:
            state[f'{key.removesuffix("weight")}bias'] = state[key].new_zeros(len(state[key]))


def _options(state: State) -> dict:
    unpacked = _unpack(state)
    options: dict = dict(norm_eps=1e-5, position='time', step=dict(type='RotaryStep', base=BASE))
    options['attention'] = dict(qkv_bias=any(key.endswith('qkv.bias') for key in unpacked))
    width = unpacked['cls_token'].shape[-1]
    options['num_heads'] = 32 if width == 4096 else max(width // 64, 1)  # as published
    if (periods := state.get(PERIODS)) is not None:
        expected = BASE ** (torch.arange(len(periods)) / len(periods))
        if not torch.allclose(periods.float(), expected, rtol=1e-2):
            raise ValueError(f'{PERIODS} are not those of the base {BASE:g}, expected the published rotary positions')
        options['num_heads'] = width // (4 * len(periods))
    return parts_of(unpacked, 'storage_tokens') | options


def _told(config: dict, scheme: str, state: State) -> dict:
    gated = config.get('use_gated_mlp', False)
    options = dict(
        attention=dict(type=ATTENTIONS[scheme], qkv_bias=any(key.endswith('qkv.bias') for key in state)),
        mlp=dict(type='GatedMLP' if gated else 'MLP', activation=told_activation(config, 'gelu')),
        step=dict(type='RotaryStep', base=config.get('rope_theta', BASE)),
        num_heads=6,
        norm_eps=1e-5,
    )
    return told_options(config, dict(model_type='dinov3_vit', hidden_act=config.get('hidden_act')), options)


DINOV3 = Origin(
    'dinov3',
    {
        'image': KeyTable(
            {theirs: ours for theirs, ours in NAMES.names.items() if not theirs.startswith(('head.', 'pos_embed'))}
            | PARTS
            | {'storage_tokens': 'backbone.embedding.registers'}
        )
    },
    unused=r'mask_token|rope_embed\.periods|blocks\.\d+\.attn\.qkv\.bias_mask|local_cls_norm\.\w+|head\.\w+',
    unpack=_unpack,
    options=_options,
    told=_told,
    any_size=True,
)
