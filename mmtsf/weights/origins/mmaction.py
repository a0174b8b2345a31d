"""Translate weights of MMAction2's ``TimeSformer`` and ``TimeSformerHead``."""

from mmtsf.weights.key_table import KeyTable

from .origin import POSITIONS, Origin, step_names

BLOCK = 'backbone.transformer_layers.layers.{i}'
COMMON = {
    'backbone.cls_token': 'backbone.embedding.cls',
    'backbone.pos_embed': POSITIONS,
    'backbone.patch_embed.projection.{p}': 'backbone.embedding.patch.{p}',
    f'{BLOCK}.ffns.0.layers.0.0.{{p}}': 'backbone.blocks.{i}.mlp.0.{p}',
    f'{BLOCK}.ffns.0.layers.1.{{p}}': 'backbone.blocks.{i}.mlp.2.{p}',
    'backbone.norm.{p}': 'backbone.norm.{p}',
    'cls_head.fc_cls.{p}': 'cls_head.fc_cls.{p}',
}
TIME = {'backbone.time_embed': 'backbone.embedding.time'}


def _attention(number: int, norm: str) -> dict[str, str]:
    attention = f'{BLOCK}.attentions.{number}.attn'
    return {
        f'{BLOCK}.{norm}.{{p}}': 'norm',
        f'{attention}.in_proj_{{p}}': 'qkv',
        f'{attention}.out_proj.{{p}}': 'proj',
    }


MMACTION = Origin(
    'mmaction2',
    {
        'divided': KeyTable(
            COMMON
            | TIME
            | step_names(
                _attention(0, 'attentions.0.norm') | {f'{BLOCK}.attentions.0.temporal_fc.{{p}}': 'temporal_fc'}, 'time'
            )
            | step_names(_attention(1, 'attentions.1.norm'), 'space')
            | {f'{BLOCK}.ffns.0.norm.{{p}}': 'backbone.blocks.{i}.norm.{p}'}
        ),
        **{
            scheme: KeyTable(
                COMMON
                | time
                | step_names(_attention(0, 'norms.0'), scheme)
                | {f'{BLOCK}.norms.1.{{p}}': 'backbone.blocks.{i}.norm.{p}'}
            )
            for scheme, time in (('joint', TIME), ('space', {}))
        },
    },
    prefix='backbone.',
)
