"""Translate weights of Hugging Face's ``TimesformerForVideoClassification``."""

from mmtsf.weights.geometry import check_hugging_face, hugging_face_options

from .origin import POSITIONS, Origin, State, space_time_tables


def _told(config: dict, scheme: str, state: State) -> dict:
    options = hugging_face_options(config, scheme)
    check_hugging_face(config, state)
    return options


HUGGING_FACE = Origin(
    'huggingface',
    space_time_tables(
        common={
            'timesformer.embeddings.cls_token': 'backbone.embedding.cls',
            'timesformer.embeddings.position_embeddings': POSITIONS,
            'timesformer.embeddings.patch_embeddings.projection.{p}': 'backbone.embedding.patch.{p}',
            'timesformer.encoder.layer.{i}.layernorm_after.{p}': 'backbone.blocks.{i}.norm.{p}',
            'timesformer.encoder.layer.{i}.intermediate.dense.{p}': 'backbone.blocks.{i}.mlp.0.{p}',
            'timesformer.encoder.layer.{i}.output.dense.{p}': 'backbone.blocks.{i}.mlp.2.{p}',
            'timesformer.layernorm.{p}': 'backbone.norm.{p}',
            'classifier.{p}': 'cls_head.fc_cls.{p}',
        },
        image_step={
            'timesformer.encoder.layer.{i}.layernorm_before.{p}': 'norm',
            'timesformer.encoder.layer.{i}.attention.attention.qkv.{p}': 'qkv',
            'timesformer.encoder.layer.{i}.attention.output.dense.{p}': 'proj',
        },
        time_step={
            'timesformer.encoder.layer.{i}.temporal_layernorm.{p}': 'norm',
            'timesformer.encoder.layer.{i}.temporal_attention.attention.qkv.{p}': 'qkv',
            'timesformer.encoder.layer.{i}.temporal_attention.output.dense.{p}': 'proj',
            'timesformer.encoder.layer.{i}.temporal_dense.{p}': 'temporal_fc',
        },
        time_table='timesformer.embeddings.time_embeddings',
    ),
    prefix='timesformer.',
    told=_told,
)
