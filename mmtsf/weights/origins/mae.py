"""Translate weights of MAE: the authors' files, pretrained or fine-tuned, and Hugging Face's ``ViTMAEModel``, and
those of its ``ViTModel``, which have the same names."""

import reprlib

from mmtsf.weights.geometry import ATTENTIONS, check_hugging_face, told_options
from mmtsf.weights.key_table import KeyTable

from .origin import Origin, State, joined, renamed
from .timm import NAMES

#: Names of Hugging Face, of transformers 4 and 5, as patterns, and the authors'
RENAMED = {
    r'^vit\.': '',
    r'^embeddings\.cls_token$': 'cls_token',
    r'^embeddings\.position_embeddings$': 'pos_embed',
    r'^embeddings\.patch_embeddings\.projection\.': 'patch_embed.proj.',
    r'^(encoder\.layer|layers)\.': 'blocks.',
    r'\.attention\.(attention\.query|q_proj)\.': '.attn.query.',
    r'\.attention\.(attention\.key|k_proj)\.': '.attn.key.',
    r'\.attention\.(attention\.value|v_proj)\.': '.attn.value.',
    r'\.attention\.(output\.dense|o_proj)\.': '.attn.proj.',
    r'\.layernorm_before\.': '.norm1.',
    r'\.layernorm_after\.': '.norm2.',
    r'\.intermediate\.dense\.': '.mlp.fc1.',
    r'\.output\.dense\.': '.mlp.fc2.',
    r'^layernorm\.': 'norm.',
    r'^classifier\.': 'head.',
}
#: Kinds of folders, and what transformers takes for an epsilon that config.json does not tell
KINDS = dict(vit_mae=1e-12, vit=1e-12, vit_msn=1e-6)


def _unpack(state: State) -> State:
    return joined(renamed(state, RENAMED), ('attn.query', 'attn.key', 'attn.value'))


def _options(state: State) -> dict:
    return dict(pool='mean') if 'fc_norm.weight' in state else {}


def _told(config: dict, scheme: str, state: State) -> dict:
    kind = config.get('model_type', 'vit_mae')
    if kind not in list(KINDS):
        raise ValueError(f'config.json has model_type {reprlib.repr(kind)}, expected one of {", ".join(KINDS)}')
    check_hugging_face(config, state)
    attention = dict(type=ATTENTIONS[scheme], qkv_bias=config.get('qkv_bias', True))
    return told_options(config, dict(model_type=kind), dict(num_heads=12, norm_eps=KINDS[kind], attention=attention))


MAE = Origin(
    'mae',
    {'image': KeyTable(NAMES.names | {'fc_norm.{p}': 'backbone.norm.{p}'})},
    unused=r'decoder(_\w+)?(\..*)?|mask_token|pooler\..*',
    unpack=_unpack,
    options=_options,
    told=_told,
)
