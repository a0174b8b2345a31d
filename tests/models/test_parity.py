"""The model computes what the released code, Hugging Face's and MMAction2's compute with the same weights."""

import numpy as np
import pytest
import torch
from helpers import SHARED, assert_close, randomise, tiny_clips
from mmaction.models import backbones, heads
from torch import Tensor, nn

from mmtsf.registry import MODELS

# Tables of names: replacements of parts of a key, in this order. <first> and <image> are the scheme's steps; the
# latter is the image model's own attention.
RELEASED = {
    'model.head': 'cls_head.fc_cls',
    'model.': 'backbone.',
    'cls_token': 'embedding.cls',
    'time_embed': 'embedding.time',
    'patch_embed.proj': 'embedding.patch',
    'temporal_norm1': 'attention.steps.time.norm',
    'temporal_attn': 'attention.steps.time',
    'temporal_fc': 'attention.steps.time.fc',
    'norm1': 'attention.steps.<image>.norm',
    '.attn': '.attention.steps.<image>',
    'norm2': 'norm',
    'mlp.fc1': 'mlp.0',
    'mlp.fc2': 'mlp.2',
}
HUGGING_FACE = {
    'classifier': 'cls_head.fc_cls',
    'timesformer.': 'backbone.',
    'encoder.layer': 'blocks',
    'embeddings.position_embeddings': 'pos_embed',
    'embeddings.cls_token': 'embedding.cls',
    'embeddings.time_embeddings': 'embedding.time',
    'embeddings.patch_embeddings.projection': 'embedding.patch',
    'temporal_layernorm': 'steps.time.norm',
    'temporal_attention.attention': 'steps.time',
    'temporal_attention.output.dense': 'steps.time.proj',
    'temporal_dense': 'steps.time.fc',
    'layernorm_before': 'steps.<image>.norm',
    'attention.attention': 'steps.<image>',
    'attention.output.dense': 'steps.<image>.proj',
    'layernorm_after': 'norm',
    'layernorm': 'norm',
    'intermediate.dense': 'mlp.0',
    'output.dense': 'mlp.2',
    'steps': 'attention.steps',
}
MMACTION = {
    'cls_token': 'embedding.cls',
    'time_embed': 'embedding.time',
    'patch_embed.projection': 'embedding.patch',
    'transformer_layers.layers': 'blocks',
    'attn.in_proj_': 'qkv.',
    'attn.out_proj': 'proj',
    'temporal_fc': 'fc',
    'attentions.0': 'attention.steps.<first>',
    'attentions.1': 'attention.steps.<image>',
    'norms.0': 'attention.steps.<image>.norm',
    'norms.1': 'norm',
    'ffns.0.norm': 'norm',
    'ffns.0.layers.0.0': 'mlp.0',
    'ffns.0.layers.1': 'mlp.2',
}

SCHEMES = {
    'divided_space_time': ('DividedAttention', 'time', 'space'),
    'joint_space_time': ('JointAttention', 'joint', 'joint'),
    'space_only': ('SpaceAttention', 'space', 'space'),
}
each_attention_type = pytest.mark.parametrize('attention_type', SCHEMES)


def our_model(state: dict[str, Tensor], table: dict[str, str], attention_type: str, embed_dims: int) -> nn.ModuleDict:
    """Backbone and head that hold all of another implementation's weights, and no others."""
    attention, first, image = SCHEMES[attention_type]
    renamed = {}
    for key, value in state.items():
        for old, new in table.items():
            key = key.replace(old, new)
        renamed[key.replace('<first>', first).replace('<image>', image)] = value
    positions = renamed.pop('backbone.pos_embed')
    renamed['backbone.embedding.cls_position'] = positions[:, :1]
    renamed['backbone.embedding.space'] = positions[:, 1:].unflatten(1, (3, 3))
    sizes = dict(num_frames=4, img_size=48, embed_dims=embed_dims, num_heads=4, num_layers=3)
    backbone = dict(type='TimeSformer', attention=dict(type=attention), **sizes)
    head = dict(type='TimeSformerHead', num_classes=7, in_channels=embed_dims)
    model = nn.ModuleDict(dict(backbone=MODELS.build(backbone), cls_head=MODELS.build(head)))
    model.load_state_dict(renamed)
    return model.eval()


@each_attention_type
@torch.no_grad()
def test_released_weights_give_the_released_codes_features_and_logits(attention_type: str) -> None:
    path = SHARED / f'data/parity/released_tiny_{attention_type}.pyth'
    if not path.is_file():
        pytest.skip(f'{path} is not there')
    state = torch.load(path, weights_only=True)['model_state']
    vectors = {name: torch.from_numpy(array) for name, array in np.load(path.with_suffix('.npz')).items()}
    model = our_model(state, RELEASED, attention_type, embed_dims=96)
    features = model.backbone(vectors['inputs'])
    assert_close(features, vectors['features'])
    assert_close(model.cls_head(features), vectors['logits'])


def hugging_face_model(attention_type: str) -> nn.Module:
    """Hugging Face's model with random weights."""
    transformers = pytest.importorskip('transformers')
    config = transformers.TimesformerConfig(
        attention_type=attention_type,
        num_frames=4,
        image_size=48,
        num_labels=7,
        hidden_size=48,
        intermediate_size=4 * 48,
        num_attention_heads=4,
        num_hidden_layers=3,
    )
    return randomise(transformers.TimesformerForVideoClassification(config)).eval()


@pytest.mark.parametrize('attention_type', ['divided_space_time', 'joint_space_time'])
@torch.no_grad()
def test_logits_are_hugging_faces(attention_type: str) -> None:
    theirs = hugging_face_model(attention_type)
    ours = our_model(theirs.state_dict(), HUGGING_FACE, attention_type, embed_dims=48)
    clips = tiny_clips(batch=2, height=48, width=48)
    assert_close(ours.cls_head(ours.backbone(clips)), theirs(clips.transpose(1, 2)).logits)


@torch.no_grad()
def test_frames_of_space_attention_are_hugging_faces() -> None:
    """Before the frames are averaged, which Hugging Face's model never does."""
    theirs = hugging_face_model('space_only')
    ours = our_model(theirs.state_dict(), HUGGING_FACE, 'space_only', embed_dims=48)
    clips = tiny_clips(batch=2, height=48, width=48)
    assert_close(
        ours.backbone.encode(clips)[0], theirs(clips.transpose(1, 2), output_hidden_states=True).hidden_states[-1]
    )


@each_attention_type
@torch.no_grad()
def test_logits_are_mmaction2s(attention_type: str) -> None:
    theirs = nn.ModuleDict(
        dict(
            backbone=backbones.TimeSformer(
                num_frames=4,
                img_size=48,
                patch_size=16,
                embed_dims=48,
                num_heads=4,
                num_transformer_layers=3,
                attention_type=attention_type,
            ),
            cls_head=heads.TimeSformerHead(num_classes=7, in_channels=48),
        )
    )
    randomise(theirs).eval()
    ours = our_model(theirs.state_dict(), MMACTION, attention_type, embed_dims=48)
    clips = tiny_clips(batch=2, height=48, width=48)
    assert_close(ours.cls_head(ours.backbone(clips)), theirs.cls_head(theirs.backbone(clips)))
