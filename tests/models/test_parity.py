"""The model computes what the other implementations compute with the same weights, read through the public path."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import SHARED, assert_close, hugging_face_model, randomise, tiny_clips
from mmaction.models import backbones, heads
from torch import Tensor, nn

from mmtsf.registry import MODELS
from mmtsf.weights import backbone_config, build, load_weights, read_checkpoint, translate

pytest.importorskip('transformers')

ATTENTION_TYPES = ('divided_space_time', 'joint_space_time', 'space_only')
each_attention_type = pytest.mark.parametrize('attention_type', ATTENTION_TYPES)
each_geometry = pytest.mark.parametrize(
    ('num_frames', 'size', 'patch_size', 'layers'), [(4, 48, 16, 3), (1, 32, 8, 1), (9, 64, 32, 2)]
)


def ours(checkpoint: dict, num_heads: int = 4) -> nn.Module:
    """The model that a checkpoint tells, with its weights."""
    weights = translate(checkpoint)
    model = build(weights, num_heads=num_heads)
    load_weights(weights, model, may_start_fresh=False)
    return model.eval()


def logits_and_features(model: nn.Module, clips: Tensor) -> tuple[Tensor, Tensor]:
    features = model.backbone(clips)
    return model.cls_head(features), features


@pytest.mark.parametrize(
    ('name', 'embed_dims'),
    [
        ('released_tiny_divided_space_time.pyth', 96),
        ('released_tiny_joint_space_time.pyth', 96),
        ('released_tiny_space_only.pyth', 96),
        ('mmaction2_tiny_divided.pth', 64),
    ],
)
@torch.no_grad()
def test_recorded_features_and_logits(name: str, embed_dims: int) -> None:
    """Of the original code; the file of MMAction2 is of a real training, with pickled ``HistoryBuffer`` objects."""
    path = SHARED / 'data/parity' / name
    if not path.is_file():
        pytest.skip(f'{path} is not there')
    vectors = {key: torch.from_numpy(array) for key, array in np.load(path.with_suffix('.npz')).items()}
    model = ours(read_checkpoint(str(path)))
    assert model.backbone.norm.weight.shape == (embed_dims,)
    logits, features = logits_and_features(model, vectors['inputs'])
    assert_close(features, vectors['features'])
    assert_close(logits, vectors['logits'])


@each_geometry
@each_attention_type
@torch.no_grad()
def test_logits_are_hugging_faces(attention_type, num_frames, size, patch_size, layers, tmp_path) -> None:
    """Of space attention the frames' tokens, which its model never averages."""
    sizes = dict(num_frames=num_frames, image_size=size, patch_size=patch_size, num_hidden_layers=layers)
    theirs = hugging_face_model(attention_type=attention_type, **sizes)
    theirs.save_pretrained(tmp_path)
    model = ours(read_checkpoint(str(tmp_path)))
    clips = tiny_clips(2, num_frames, size, size)
    if attention_type == 'space_only':
        hidden = theirs(clips.transpose(1, 2), output_hidden_states=True).hidden_states[-1]
        assert_close(model.backbone.encode(clips)[0], hidden)
    else:
        assert_close(logits_and_features(model, clips)[0], theirs(clips.transpose(1, 2)).logits)


@each_attention_type
@torch.no_grad()
def test_logits_are_mmaction2s(attention_type: str) -> None:
    backbone = backbones.TimeSformer(
        num_frames=4,
        img_size=48,
        patch_size=16,
        embed_dims=48,
        num_heads=4,
        num_transformer_layers=3,
        attention_type=attention_type,
    )
    theirs = nn.ModuleDict(dict(backbone=backbone, cls_head=heads.TimeSformerHead(num_classes=7, in_channels=48)))
    randomise(theirs).eval()
    clips = tiny_clips(2, 4, 48, 48)
    logits = logits_and_features(ours(theirs.state_dict()), clips)[0]
    assert_close(logits, theirs['cls_head'](theirs['backbone'](clips)))


def image_model(timm, **changes):
    """timm's ViT with random weights."""
    sizes = dict(img_size=48, patch_size=16, embed_dim=48, depth=2, num_heads=4, num_classes=7)
    return randomise(timm.models.vision_transformer.VisionTransformer(**sizes | changes)).eval()


@torch.no_grad()
def test_an_image_model_is_timms(timm) -> None:
    theirs = image_model(timm)
    frames = torch.randn(2, 3, 48, 48)
    assert_close(logits_and_features(ours(theirs.state_dict()), frames.unsqueeze(2))[0], theirs(frames))


def as_jax(state: dict[str, Tensor], num_heads: int) -> dict[str, np.ndarray]:
    """timm's weights in the layout of the original ViT's files."""
    arrays = {
        'cls': state['cls_token'],
        'Transformer/posembed_input/pos_embedding': state['pos_embed'],
        'embedding/kernel': state['patch_embed.proj.weight'].permute(2, 3, 1, 0),
        'embedding/bias': state['patch_embed.proj.bias'],
        'Transformer/encoder_norm/scale': state['norm.weight'],
        'Transformer/encoder_norm/bias': state['norm.bias'],
        'head/kernel': state['head.weight'].T,
        'head/bias': state['head.bias'],
        'pre_logits/kernel': torch.zeros(3, 3),
    }
    for i in range(2):
        theirs, mine = f'Transformer/encoderblock_{i}', f'blocks.{i}'
        for norm, name in (('LayerNorm_0', 'norm1'), ('LayerNorm_2', 'norm2')):
            arrays[f'{theirs}/{norm}/scale'] = state[f'{mine}.{name}.weight']
            arrays[f'{theirs}/{norm}/bias'] = state[f'{mine}.{name}.bias']
        for dense, name in (('Dense_0', 'fc1'), ('Dense_1', 'fc2')):
            arrays[f'{theirs}/MlpBlock_3/{dense}/kernel'] = state[f'{mine}.mlp.{name}.weight'].T
            arrays[f'{theirs}/MlpBlock_3/{dense}/bias'] = state[f'{mine}.mlp.{name}.bias']
        attention = f'{theirs}/MultiHeadDotProductAttention_1'
        weights, biases = state[f'{mine}.attn.qkv.weight'].chunk(3), state[f'{mine}.attn.qkv.bias'].chunk(3)
        for part, weight, bias in zip(('query', 'key', 'value'), weights, biases, strict=True):
            arrays[f'{attention}/{part}/kernel'] = weight.T.unflatten(1, (num_heads, -1))
            arrays[f'{attention}/{part}/bias'] = bias.unflatten(0, (num_heads, -1))
        arrays[f'{attention}/out/kernel'] = state[f'{mine}.attn.proj.weight'].T.unflatten(0, (num_heads, -1))
        arrays[f'{attention}/out/bias'] = state[f'{mine}.attn.proj.bias']
    return {name: tensor.numpy() for name, tensor in arrays.items()}


@torch.no_grad()
def test_a_jax_file_is_the_same_image_model(timm, tmp_path: Path) -> None:
    theirs = image_model(timm)
    np.savez(tmp_path / 'ViT.npz', **as_jax(theirs.state_dict(), num_heads=4))
    frames = torch.randn(2, 3, 48, 48)
    model = ours(read_checkpoint(str(tmp_path / 'ViT.npz')), num_heads=None)  # the file tells the number of heads
    assert_close(logits_and_features(model, frames.unsqueeze(2))[0], theirs(frames))


def as_mmpretrain(key: str) -> str:
    """MMPretrain's name of timm's."""
    for old, new in (
        ('patch_embed.proj', 'patch_embed.projection'),
        ('blocks', 'layers'),
        ('norm1', 'ln1'),
        ('norm2', 'ln2'),
        ('mlp.fc1', 'ffn.layers.0.0'),
        ('mlp.fc2', 'ffn.layers.1'),
    ):
        key = key.replace(old, new)
    if key.startswith('norm.'):
        key = key.replace('norm.', 'ln1.')
    return key.replace('head.', 'head.layers.head.') if key.startswith('head.') else f'backbone.{key}'


@torch.no_grad()
def test_mmpretrains_names_are_the_same_image_model(timm) -> None:
    theirs = image_model(timm)
    state = {as_mmpretrain(key): value for key, value in theirs.state_dict().items()}
    frames = torch.randn(2, 3, 48, 48)
    weights = translate(dict(state_dict=state, meta={}))
    assert weights.origin == 'mmpretrain'
    assert_close(logits_and_features(ours(dict(state_dict=state)), frames.unsqueeze(2))[0], theirs(frames))


@torch.no_grad()
def test_a_distilled_image_model_loads_without_its_distillation_token(timm) -> None:
    theirs = randomise(
        timm.models.deit.VisionTransformerDistilled(
            img_size=48, patch_size=16, embed_dim=48, depth=2, num_heads=4, num_classes=7
        )
    )
    state = theirs.state_dict()
    model = ours(state)
    assert torch.equal(model.backbone.embedding.space.flatten(1, 2), state['pos_embed'][:, 2:])
    assert torch.equal(model.backbone.embedding.cls_position, state['pos_embed'][:, :1])


@pytest.mark.parametrize('attention', ['DividedAttention', 'JointAttention', 'LocalGlobalAttention', 'AxialAttention'])
@torch.no_grad()
def test_a_video_model_starts_as_its_image_model(timm, attention: str) -> None:
    """Steps beyond the image model copy its attention and end in zeros."""
    theirs = image_model(timm, img_size=64)
    weights = translate(theirs.state_dict())
    image = build(weights, num_heads=4)
    load_weights(weights, image)
    config = dict(backbone_config(weights, num_heads=4), attention=dict(type=attention), num_frames=4)
    video = MODELS.build(config)
    video.init_weights()
    report = load_weights(weights, video)
    frame = torch.randn(2, 3, 1, 64, 64)
    copied = {key.split('.steps.')[1].split('.')[0] for key in report.copied}
    steps = video.blocks[0].attention.steps
    assert copied == {name for name, step in steps.items() if isinstance(step.temporal_fc, nn.Linear)}
    for name in copied:
        assert torch.equal(steps[name].qkv.weight, image.backbone.blocks[0].attention.steps['space'].qkv.weight)
        assert not steps[name].temporal_fc.weight.any()
    if attention == 'DividedAttention':  # its space step sees one frame at a time
        assert_close(video(frame.expand(-1, -1, 4, -1, -1)), image.backbone(frame))
    if attention == 'JointAttention':  # copies of the patches leave the softmax's weights as they are, but one
        assert_close(video(frame), image.backbone(frame))


@pytest.mark.parametrize('token_shift', [False, True])
@torch.no_grad()
def test_logits_are_lucidrains(token_shift: bool) -> None:
    """``timesformer-pytorch``."""
    package = pytest.importorskip('timesformer_pytorch')
    theirs = randomise(
        package.TimeSformer(
            dim=50,
            num_frames=5,
            num_classes=7,
            image_size=48,
            patch_size=16,
            depth=2,
            heads=3,
            dim_head=16,
            shift_tokens=token_shift,
        ),
        std=0.1,
    ).eval()
    model = ours(theirs.state_dict(), num_heads=None)
    clips = tiny_clips(2, 5, 48, 32)
    assert_close(model.cls_head(model.backbone(clips)), theirs(clips.transpose(1, 2)))
