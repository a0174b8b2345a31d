"""Translate weights of the authors' code, github.com/facebookresearch/TimeSformer."""

from .origin import POSITIONS, Origin, space_time_tables

RELEASED = Origin(
    'released',
    space_time_tables(
        common={
            'model.cls_token': 'backbone.embedding.cls',
            'model.pos_embed': POSITIONS,
            'model.patch_embed.proj.{p}': 'backbone.embedding.patch.{p}',
            'model.blocks.{i}.norm2.{p}': 'backbone.blocks.{i}.norm.{p}',
            'model.blocks.{i}.mlp.fc1.{p}': 'backbone.blocks.{i}.mlp.0.{p}',
            'model.blocks.{i}.mlp.fc2.{p}': 'backbone.blocks.{i}.mlp.2.{p}',
            'model.norm.{p}': 'backbone.norm.{p}',
            'model.head.{p}': 'cls_head.fc_cls.{p}',
        },
        image_step={
            'model.blocks.{i}.norm1.{p}': 'norm',
            'model.blocks.{i}.attn.qkv.{p}': 'qkv',
            'model.blocks.{i}.attn.proj.{p}': 'proj',
        },
        time_step={
            'model.blocks.{i}.temporal_norm1.{p}': 'norm',
            'model.blocks.{i}.temporal_attn.qkv.{p}': 'qkv',
            'model.blocks.{i}.temporal_attn.proj.{p}': 'proj',
            'model.blocks.{i}.temporal_fc.{p}': 'temporal_fc',
        },
        time_table='model.time_embed',
    ),
)
