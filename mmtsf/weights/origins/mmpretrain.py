"""Translate weights of MMPretrain's (and MMClassification's) ``VisionTransformer``."""

from mmtsf.weights.key_table import KeyTable

from .origin import POSITIONS, Origin, step_names

BLOCK = 'backbone.layers.{i}'
MMPRETRAIN = Origin(
    'mmpretrain',
    {
        'image': KeyTable(
            {
                'backbone.cls_token': 'backbone.embedding.cls',
                'backbone.pos_embed': POSITIONS,
                'backbone.patch_embed.projection.{p}': 'backbone.embedding.patch.{p}',
                f'{BLOCK}.ln2.{{p}}': 'backbone.blocks.{i}.norm.{p}',
                f'{BLOCK}.ffn.layers.0.0.{{p}}': 'backbone.blocks.{i}.mlp.0.{p}',
                f'{BLOCK}.ffn.layers.1.{{p}}': 'backbone.blocks.{i}.mlp.2.{p}',
                'backbone.ln1.{p}': 'backbone.norm.{p}',
                'head.layers.head.{p}': 'cls_head.fc_cls.{p}',
                **step_names(
                    {
                        f'{BLOCK}.ln1.{{p}}': 'norm',
                        f'{BLOCK}.attn.qkv.{{p}}': 'qkv',
                        f'{BLOCK}.attn.proj.{{p}}': 'proj',
                    },
                    'space',
                ),
            }
        )
    },
    prefix='backbone.',
    unused=r'head\.layers\.pre_logits\..*',
)
