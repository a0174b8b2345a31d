"""Translate weights of VideoMAE and VideoMAE V2: the authors' files, MMAction2's and Hugging Face's."""

import re
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from mmtsf.models.layers.tubelet_embedding import numbered
from mmtsf.utils.text import shorten
from mmtsf.weights.geometry import ATTENTIONS, check_hugging_face, told_options, whole
from mmtsf.weights.key_table import KeyTable

from .origin import Origin, State, joined, renamed, step_names

#: Other names, as patterns, and the authors'
NAMES = {
    r'^(videomae|backbone)\.': '',
    r'^encoder\.(?!layer\.)': '',  # of a pretraining, beside its decoder
    r'^encoder\.layer\.': 'blocks.',
    r'^(embeddings\.patch_embeddings|patch_embed)\.projection\.': 'patch_embed.proj.',
    r'\.attention\.attention\.(query|key|value)\.': r'.attn.\1.',
    r'\.attention\.attention\.([qv]_bias)$': r'.attn.\1',
    r'\.attention\.output\.dense\.': '.attn.proj.',
    r'\.layernorm_before\.': '.norm1.',
    r'\.layernorm_after\.': '.norm2.',
    r'\.(intermediate\.dense|mlp\.layers\.0\.0)\.': '.mlp.fc1.',
    r'\.(output\.dense|mlp\.layers\.1)\.': '.mlp.fc2.',
    r'^layernorm\.': 'norm.',
    r'^(classifier|cls_head\.fc_cls)\.': 'head.',
}
NORM, PATCH, ATTENTION = 'backbone.norm', 'patch_embed.proj.weight', re.compile(r'(blocks\.\d+\.attn)\.')
#: Biases of queries, keys and values by their names: the authors' and those of transformers 5
BIASES = (('q_bias', 'query.bias'), ('k_bias', 'key.bias'), ('v_bias', 'value.bias'))
#: Words of the config of VideoMAE V2 and ours
V2_NAMES = dict(
    num_frames='num_frames',
    img_size='img_size',
    patch_size='patch_size',
    embed_dim='embed_dims',
    depth='num_layers',
    num_heads='num_heads',
    layer_norm_eps='norm_eps',
)
#: Frames and pixels of all published models
FRAMES, SIZE = 16, 224


def _unpack(state: State) -> State:
    """Bring all names to the authors', and join queries, keys and values."""
    state = renamed(state, NAMES)
    if state[PATCH].ndim != 5:
        raise LookupError('there are no tubelets')
    blocks = dict.fromkeys(match[1] for match in map(ATTENTION.match, state) if match)
    for block in blocks:
        _join_biases(state, block)
    state = joined(state, ('attn.query', 'attn.key', 'attn.value'))
    biased = [block for block in blocks if f'{block}.qkv.bias' in state]
    if biased and len(biased) < len(blocks):
        raise ValueError(f'the biases of queries and values are missing in {shorten(set(blocks) - set(biased))}')
    _check_positions(state)
    if 'norm.weight' in state and 'fc_norm.weight' in state:
        raise ValueError('there are weights of norm and of fc_norm, and no model of VideoMAE has both')
    return state


def _join_biases(state: State, block: str) -> None:
    """Join the biases of a block, that of keys zero where there is none.

    Raises:
        ValueError: If there is one without the others.
    """
    there = [next((f'{block}.{name}' for name in names if f'{block}.{name}' in state), None) for names in BIASES]
    if not any(there):
        return
    query, key, value = (None if name is None else state.pop(name) for name in there)
    if query is None or value is None:
        raise ValueError(f'{block} has {next(filter(None, there))}, and not the biases of queries and values both')
    state[f'{block}.qkv.bias'] = torch.cat([query, torch.zeros_like(query) if key is None else key, value])


def _check_positions(state: State) -> None:
    """Refuse positions that were learned."""
    table = state.get('pos_embed')
    if table is not None and not _is_numbered(table):
        raise ValueError('pos_embed are positions that were learned, and VideoMAE has fixed ones here')


def _is_numbered(table: Tensor) -> bool:
    return table.ndim == 3 and torch.allclose(table[0].float(), numbered(*table.shape[1:]), atol=1e-2)


def _norm(state: State) -> State:
    """Start the norm as the authors' fine-tuning, where a pretrained model has none."""
    bias = state.get('backbone.embedding.patch.bias')
    return {} if bias is None else {f'{NORM}.weight': torch.ones_like(bias), f'{NORM}.bias': torch.zeros_like(bias)}


def _options(state: State) -> dict:
    state = _unpack(state)
    _, _, tubelet, patch, _ = state[PATCH].shape
    positions = state.get('pos_embed')
    side = SIZE // patch if positions is None else isqrt(positions.shape[1] // (FRAMES // tubelet))
    return dict(
        attention=dict(type='JointAttention', qkv_bias=any(key.endswith('qkv.bias') for key in state)),
        embedding=dict(type='TubeletEmbedding', tubelet=tubelet, places=[FRAMES // tubelet, side, side]),
        num_frames=FRAMES,
        img_size=side * patch,
        pool='mean',
    )


def _told(config: dict, scheme: str, state: State) -> dict:
    """Read what transformers' VideoMAE, or the authors' own class of VideoMAE V2, tells of its model."""
    inner = config.get('model_config')
    if isinstance(inner, dict):
        return _told_of_v2(inner, scheme, state)
    check_hugging_face(config, state)
    biased = any(key.endswith('qkv.bias') for key in state)
    has_head = 'cls_head.fc_cls.weight' in state
    expected: dict[str, Any] = dict(model_type='videomae', qv_bias=biased)
    expected |= dict(use_mean_pooling=True) if has_head else {}
    usual: dict[str, Any] = dict(num_frames=FRAMES, img_size=SIZE, num_heads=12, norm_eps=1e-12)
    if config.get('use_mean_pooling', True):
        usual['last_norm_eps'] = 1e-5  # PyTorch's own there
    usual['attention'] = dict(type=ATTENTIONS[scheme], qkv_bias=biased)
    config = {'qv_bias': config.get('qkv_bias', True)} | config
    return _with_tubelets(config, told_options(config, expected, usual))


def _told_of_v2(config: dict, scheme: str, state: State) -> dict:
    """Read what the authors' own class of VideoMAE V2 tells."""
    check_hugging_face(config, state)
    expected = dict(in_chans=3, cos_attn=False, use_learnable_pos_emb=False, use_mean_pooling=True, qk_scale=None)
    expected |= dict(init_values=0)
    attention = dict(type=ATTENTIONS[scheme], qkv_bias=config.get('qkv_bias', True))
    usual = dict(num_frames=FRAMES, img_size=SIZE, mlp=dict(ratio=config.get('mlp_ratio', 4)), attention=attention)
    return _with_tubelets(config, told_options(config, expected, usual, V2_NAMES))


def _with_tubelets(config: dict, options: dict) -> dict:
    """Add the tubelets that a model numbers."""
    tubelet = config.get('tubelet_size', 2)
    whole(1, 1000).check('config.json: tubelet_size', tubelet)
    height, width = (side // options.get('patch_size', 16) for side in options['img_size'])
    return options | dict(
        embedding=dict(
            type='TubeletEmbedding', tubelet=tubelet, places=[options['num_frames'] // tubelet, height, width]
        )
    )


VIDEOMAE = Origin(
    'videomae',
    {
        'joint': KeyTable(
            {
                'patch_embed.proj.{p}': 'backbone.embedding.patch.{p}',
                'blocks.{i}.norm2.{p}': 'backbone.blocks.{i}.norm.{p}',
                'blocks.{i}.mlp.fc1.{p}': 'backbone.blocks.{i}.mlp.0.{p}',
                'blocks.{i}.mlp.fc2.{p}': 'backbone.blocks.{i}.mlp.2.{p}',
                'fc_norm.{p}': 'backbone.norm.{p}',
                'norm.{p}': 'backbone.norm.{p}',
                'head.{p}': 'cls_head.fc_cls.{p}',
                **step_names(
                    {
                        'blocks.{i}.norm1.{p}': 'norm',
                        'blocks.{i}.attn.qkv.{p}': 'qkv',
                        'blocks.{i}.attn.proj.{p}': 'proj',
                    },
                    'joint',
                ),
            }
        )
    },
    unused=r'(decoder|encoder_to_decoder)\..*|mask_token|pos_embed',
    unpack=_unpack,
    options=_options,
    told=_told,
    starts=_norm,
)
