"""Translate weights of CLIP's vision tower: OpenAI's and OpenCLIP's files, Hugging Face's, and timm's."""

import torch

from mmtsf.weights.geometry import ATTENTIONS, told_activation, told_options
from mmtsf.weights.key_table import KeyTable

from .origin import POSITIONS, Origin, State, joined, renamed, step_names

#: Names of Hugging Face, of transformers 4 and 5, and of a vision tower alone, as patterns, and OpenAI's
RENAMED = {
    r'^vision_model\.': 'visual.',
    r'^(?=(embeddings|encoder|pre_layrnorm|post_layernorm)\.)': 'visual.',
    r'^visual\.embeddings\.class_embedding$': 'visual.class_embedding',
    r'^visual\.embeddings\.patch_embedding\.': 'visual.conv1.',
    r'^visual\.embeddings\.position_embedding\.weight$': 'visual.positional_embedding',
    r'^visual\.pre_layrnorm\.': 'visual.ln_pre.',
    r'^visual\.post_layernorm\.': 'visual.ln_post.',
    r'^visual\.encoder\.layers\.(\d+)\.layer_norm([12])\.': r'visual.transformer.resblocks.\1.ln_\2.',
    r'^visual\.encoder\.layers\.(\d+)\.self_attn\.': r'visual.transformer.resblocks.\1.attn.',
    r'^visual\.encoder\.layers\.(\d+)\.mlp\.fc1\.': r'visual.transformer.resblocks.\1.mlp.c_fc.',
    r'^visual\.encoder\.layers\.(\d+)\.mlp\.fc2\.': r'visual.transformer.resblocks.\1.mlp.c_proj.',
    r'\.attn\.in_proj_': '.attn.in_proj.',
}
#: Names of timm, as patterns, and OpenAI's
TIMM_NAMES = {
    r'^cls_token$': 'visual.class_embedding',
    r'^pos_embed$': 'visual.positional_embedding',
    r'^patch_embed\.proj\.': 'visual.conv1.',
    r'^norm_pre\.': 'visual.ln_pre.',
    r'^norm\.': 'visual.ln_post.',
    r'^blocks\.(\d+)\.norm([12])\.': r'visual.transformer.resblocks.\1.ln_\2.',
    r'^blocks\.(\d+)\.attn\.qkv\.': r'visual.transformer.resblocks.\1.attn.in_proj.',
    r'^blocks\.(\d+)\.attn\.proj\.': r'visual.transformer.resblocks.\1.attn.out_proj.',
    r'^blocks\.(\d+)\.mlp\.fc1\.': r'visual.transformer.resblocks.\1.mlp.c_fc.',
    r'^blocks\.(\d+)\.mlp\.fc2\.': r'visual.transformer.resblocks.\1.mlp.c_proj.',
    r'^head\.': 'visual_projection.',
}
#: What transformers takes for what a config.json does not say
USUAL = dict(hidden_act='quick_gelu', num_attention_heads=12, layer_norm_eps=1e-5)
PATCH = 'visual.conv1.weight'
BLOCK = 'visual.transformer.resblocks.{i}'
#: Text towers, projections into the space that both share, and sizes that OpenAI's files tell
UNUSED = (
    r'(text|text_model|transformer|token_embedding|ln_final)\..*|(text|visual)_projection(\.weight|\.bias)?|visual\.proj|'
    r'positional_embedding|attn_mask|logit_(scale|bias)|input_resolution|context_length|vocab_size|classifier\.\w+|'
    r'visual\.embeddings\.position_ids'
)


def _unpack(state: State) -> State:
    """Bring all names to OpenAI's, join queries, keys and values, and give tables an axis for the batch."""
    if 'norm_pre.weight' in state:
        state = renamed(state, TIMM_NAMES)
    if 'visual.conv1.weight' not in state and 'conv1.weight' in state:  # a tower alone, of the original names
        state = {f'visual.{key}': value for key, value in state.items()}
    state = joined(renamed(state, RENAMED), ('attn.q_proj', 'attn.k_proj', 'attn.v_proj'), 'in_proj')
    if state[PATCH].ndim != 4 or 'visual.ln_pre.weight' not in state:
        raise LookupError('this is no vision transformer of CLIP')
    state['visual.class_embedding'] = state['visual.class_embedding'].view(1, 1, -1)
    state['visual.positional_embedding'] = state['visual.positional_embedding'].flatten(0, -2)[None]
    return state


def _options(state: State) -> dict:
    _unpack(state)  # no file of another origin
    # OpenAI's files tell their sizes; of others the activation is not told
    activation = 'quick_gelu' if 'input_resolution' in state else None
    return dict(embedding=dict(type='NormEmbedding'), mlp=dict(activation=activation), norm_eps=1e-5)


def _told(config: dict, scheme: str, state: State) -> dict:
    is_tower = config.get('model_type', 'clip') != 'clip'
    vision = config if is_tower else config.get('vision_config')
    if not isinstance(vision, dict):
        raise ValueError('config.json has no vision_config, expected that of a CLIPModel or CLIPVisionModel')
    vision = USUAL | vision
    return told_options(
        vision,
        dict(model_type='clip_vision_model', hidden_act=vision['hidden_act']),
        dict(
            attention=dict(type=ATTENTIONS[scheme]),
            mlp=dict(activation=told_activation(vision, 'quick_gelu')),
            embedding=dict(type='NormEmbedding', norm_eps=vision['layer_norm_eps']),
        ),
    )


def _starts(state: State) -> State:
    """Give the patch embedding a bias of zero: CLIP's has none."""
    return {'backbone.embedding.patch.bias': torch.zeros(len(state['backbone.embedding.patch.weight']))}


CLIP = Origin(
    'clip',
    {
        'image': KeyTable(
            {
                'visual.class_embedding': 'backbone.embedding.cls',
                'visual.positional_embedding': POSITIONS,
                'visual.conv1.weight': 'backbone.embedding.patch.weight',
                'visual.ln_pre.{p}': 'backbone.embedding.norm.{p}',
                'visual.ln_post.{p}': 'backbone.norm.{p}',
                f'{BLOCK}.ln_2.{{p}}': 'backbone.blocks.{i}.norm.{p}',
                f'{BLOCK}.mlp.c_fc.{{p}}': 'backbone.blocks.{i}.mlp.0.{p}',
                f'{BLOCK}.mlp.c_proj.{{p}}': 'backbone.blocks.{i}.mlp.2.{p}',
                **step_names(
                    {
                        f'{BLOCK}.ln_1.{{p}}': 'norm',
                        f'{BLOCK}.attn.in_proj.{{p}}': 'qkv',
                        f'{BLOCK}.attn.out_proj.{{p}}': 'proj',
                    },
                    'space',
                ),
            }
        )
    },
    unused=UNUSED,
    unpack=_unpack,
    options=_options,
    told=_told,
    starts=_starts,
)
