"""Translate weights of MAE: the authors' files, pretrained or fine-tuned, and Hugging Face's ``ViTMAEModel``."""

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
}


def _unpack(state: State) -> State:
    return joined(renamed(state, RENAMED), ('attn.query', 'attn.key', 'attn.value'))


def _options(state: State) -> dict:
    return dict(pool='mean') if 'fc_norm.weight' in state else {}


def _told(config: dict, scheme: str, state: State) -> dict:
    check_hugging_face(config, state)
    attention = dict(type=ATTENTIONS[scheme], qkv_bias=config.get('qkv_bias', True))
    return told_options(config, dict(model_type='vit_mae'), dict(num_heads=12, norm_eps=1e-12, attention=attention))


MAE = Origin(
    'mae',
    {'image': KeyTable(NAMES.names | {'fc_norm.{p}': 'backbone.norm.{p}'})},
    unused=r'decoder(_\w+)?(\..*)?|mask_token',
    unpack=_unpack,
    options=_options,
    told=_told,
)
