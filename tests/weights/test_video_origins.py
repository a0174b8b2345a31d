"""Models of VideoMAE's, MAE's and DeiT III's files give what the classes give that these files are of."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import assert_close, randomise, tiny_clips
from mmaction.models.backbones.vit_mae import VisionTransformer as MMActions
from mmaction.structures import ActionDataSample
from runs import ROOT, TINY
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mmtsf.apis import init_recognizer
from mmtsf.registry import MODELS
from mmtsf.weights import backbone_config, build, classes_of, load_weights, read_checkpoint, translate
from mmtsf.weights.convert import convert

transformers = pytest.importorskip('transformers')
SIZES = dict(image_size=32, hidden_size=48, num_attention_heads=4, num_hidden_layers=2, intermediate_size=96)
DECODER = {f'decoder_{name}': size // 2 for name, size in SIZES.items() if name != 'image_size'}
TIMM = dict(img_size=32, patch_size=16, embed_dim=48, depth=2, num_heads=4, mlp_ratio=2)
#: What the authors' files do not tell: their models have 16 frames of 224 pixels
TUBELETS = dict(
    num_frames=4, img_size=32, embedding=dict(type='TubeletEmbedding', tubelet=2, places=[2, 2, 2]), num_heads=4
)
#: Names of the authors of VideoMAE and of MMAction2
AUTHORS = {
    r'patch_embed\.projection': 'patch_embed.proj',
    r'mlp\.layers\.0\.0': 'mlp.fc1',
    r'mlp\.layers\.1': 'mlp.fc2',
}


def ours(source: Any, **options: Any) -> nn.ModuleDict:
    """The model that a checkpoint, or a file, tells."""
    weights = translate(read_checkpoint(str(source)) if isinstance(source, Path) else source)
    weights.options |= options
    model = build(weights).eval()
    load_weights(weights, model, may_start_fresh=False)
    return model


def videomae(kind: str = 'VideoMAEForVideoClassification', **changes: Any) -> nn.Module:
    """transformers' VideoMAE with random weights."""
    config = transformers.VideoMAEConfig(**dict(SIZES, num_frames=4, num_labels=7) | DECODER | changes)
    return randomise(getattr(transformers, kind)(config)).eval()


def authors_videomae() -> tuple[dict[str, Tensor], MMActions]:
    """A state dict of the authors' fine-tuned models, and MMAction2's class with the same weights."""
    sizes = dict(img_size=32, embed_dims=48, depth=2, num_heads=4, mlp_ratio=2, num_frames=4)
    theirs = randomise(MMActions(**sizes)).eval()
    state = {key: value for key, value in theirs.state_dict().items() if key != 'pos_embed'}
    for old, new in AUTHORS.items():
        state = {re.sub(old, new, key): value for key, value in state.items()}
    return state, theirs


def vit_mae(kind: str = 'ViTMAEModel') -> nn.Module:
    """transformers' MAE with random weights, that masks nothing."""
    config = transformers.ViTMAEConfig(**SIZES, **DECODER, mask_ratio=0.0)
    return randomise(getattr(transformers, kind)(config)).eval()


def of_timm(timm: Any, **changes: Any) -> nn.Module:
    """timm's ViT with random weights and the epsilon of MAE and DeiT III."""
    norm = partial(nn.LayerNorm, eps=1e-6)
    return randomise(timm.models.vision_transformer.VisionTransformer(norm_layer=norm, **TIMM | changes)).eval()


@pytest.mark.parametrize('num_frames', [4, 6])
@torch.no_grad()
def test_a_folder_of_videomae_gives_transformers_tokens_and_logits(num_frames, tmp_path):
    theirs = videomae(num_frames=num_frames)
    theirs.save_pretrained(tmp_path)
    assert any(key.endswith('q_bias') for key in load_file(tmp_path / 'model.safetensors'))
    model, clips = ours(tmp_path), tiny_clips(2, num_frames, 32, 32)
    assert_close(model.backbone.encode(clips)[0], theirs.videomae(clips.transpose(1, 2)).last_hidden_state)
    assert_close(model.cls_head(model.backbone(clips)), theirs(clips.transpose(1, 2)).logits)
    save_file(theirs.state_dict(), tmp_path / 'model.safetensors')  # by the names of transformers 5
    again = ours(tmp_path)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize('kind', ['VideoMAEForPreTraining', 'VideoMAEModel'])
@pytest.mark.parametrize('pooled', [False, True])
@torch.no_grad()
def test_a_pretrained_encoder_gives_transformers_tokens(kind, pooled, tmp_path):
    """Its decoder is unused and said; one without a norm gets that with which the authors begin fine-tuning."""
    theirs = videomae(kind, use_mean_pooling=pooled)
    theirs.save_pretrained(tmp_path)
    weights, clips = translate(read_checkpoint(str(tmp_path))), tiny_clips(2, 4, 32, 32)
    tokens = ours(tmp_path).backbone.encode(clips)[0]
    encoder = getattr(theirs, 'videomae', theirs)
    norm = ours(tmp_path).backbone.norm
    assert_close(tokens if pooled else norm(tokens), encoder(clips.transpose(1, 2)).last_hidden_state)
    assert weights.report.fresh == (['backbone.norm.weight', 'backbone.norm.bias'] if pooled else [])
    decoder = {key.split('.')[0] for key in weights.report.unused}
    assert decoder == ({'decoder', 'encoder_to_decoder', 'mask_token'} if kind.endswith('ing') else set())


@pytest.mark.parametrize('prefix', ['', 'module.', 'model.', 'encoder.', 'backbone.'])
@torch.no_grad()
def test_the_authors_files_of_videomae_give_mmaction2s_features(prefix):
    state, theirs = authors_videomae()
    decoder = {'mask_token': torch.zeros(1, 1, 24), 'decoder.blocks.0.attn.q_bias': torch.zeros(24)}
    file = {f'{prefix}{key}': value for key, value in state.items()} | (decoder if prefix == 'encoder.' else {})
    clips = tiny_clips(2, 4, 32, 32)
    assert_close(ours(dict(module=file), **TUBELETS).backbone(clips), theirs(clips))


@torch.no_grad()
def test_mmaction2s_own_files_of_videomae_are_read():
    _, theirs = authors_videomae()
    head = {'cls_head.fc_cls.weight': torch.randn(7, 48), 'cls_head.fc_cls.bias': torch.randn(7)}
    state = {f'backbone.{key}': value for key, value in theirs.state_dict().items()} | head
    weights = translate(dict(state_dict=state))
    assert weights.report.unused == ['pos_embed']
    clips = tiny_clips(2, 4, 32, 32)
    model = ours(dict(state_dict=state), **TUBELETS)
    assert_close(
        model.cls_head(model.backbone(clips)),
        theirs(clips) @ head['cls_head.fc_cls.weight'].T + model.cls_head.fc_cls.bias,
    )
    state['backbone.pos_embed'] = torch.randn(1, 8, 48)
    with pytest.raises(ValueError, match='pos_embed are positions that were learned'):
        translate(dict(state_dict=state))


@torch.no_grad()
def test_a_folder_of_videomae_v2_gives_the_same_as_its_pth(tmp_path):
    state, theirs = authors_videomae()
    save_file({f'model.{key}': value for key, value in state.items()}, tmp_path / 'model.safetensors')
    told = dict(img_size=32, patch_size=16, in_chans=3, num_classes=0, embed_dim=48, depth=2, num_heads=4, mlp_ratio=2)
    told |= dict(qkv_bias=True, qk_scale=None, norm_layer='nn.LayerNorm', layer_norm_eps=1e-6, init_values=0.0)
    told |= dict(use_learnable_pos_emb=False, tubelet_size=2, use_mean_pooling=True, num_frames=4, cos_attn=False)
    config = dict(model_type='VideoMAEv2_Base', model_config=told)
    (tmp_path / 'config.json').write_text(json.dumps(config))
    clips = tiny_clips(2, 4, 32, 32)
    assert_close(ours(tmp_path).backbone(clips), theirs(clips))
    told['cos_attn'] = True
    (tmp_path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(ValueError, match='config.json has cos_attn True, expected False'):
        ours(tmp_path)


@pytest.mark.parametrize(
    ('lost', 'said'),
    [
        (
            r'blocks\.1\.attn\.q_bias',
            'blocks.1.attn has blocks.1.attn.v_bias, and not the biases of queries and values',
        ),
        (r'blocks\.1\.attn\.[qv]_bias', 'the biases of queries and values are missing in blocks.1.attn'),
        (r'blocks\.1\.attn\.proj\.bias', r'this file tells of a model of which 1 weights are missing in it'),
    ],
)
def test_biases_that_are_missing_are_named(lost, said):
    state, _ = authors_videomae()
    with pytest.raises(ValueError, match=said):
        ours({key: value for key, value in state.items() if not re.fullmatch(lost, key)}, **TUBELETS)


def test_a_config_that_tells_of_other_biases_than_there_are_is_refused(tmp_path):
    videomae().save_pretrained(tmp_path)
    state = load_file(tmp_path / 'model.safetensors')
    save_file(
        {key: value for key, value in state.items() if key[-6:] not in ('q_bias', 'v_bias')},
        tmp_path / 'model.safetensors',
    )
    with pytest.raises(ValueError, match='config.json has qv_bias True, expected False for these weights'):
        ours(tmp_path)


def test_a_classifier_of_the_first_patch_is_refused(tmp_path):
    """transformers' class for what was not pretrained with a mean: its logits are those of one corner."""
    videomae(use_mean_pooling=False).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match='config.json has use_mean_pooling False, expected True'):
        ours(tmp_path)


@pytest.mark.parametrize('kind', ['ViTMAEModel', 'ViTMAEForPreTraining'])
@torch.no_grad()
def test_a_folder_of_mae_gives_transformers_features(kind, tmp_path):
    theirs = vit_mae(kind)
    theirs.save_pretrained(tmp_path)
    images = torch.randn(2, 3, 32, 32)
    encoder = getattr(theirs, 'vit', theirs)
    told = encoder(images, noise=torch.arange(4.0).expand(2, -1)).last_hidden_state  # in order
    for _ in range(2):
        model = ours(tmp_path)
        assert_close(model.backbone(images[:, :, None]), told[:, 0])
        assert_close(model.backbone.norm(model.backbone.encode(images[:, :, None])[0]), told)
        save_file(theirs.state_dict(), tmp_path / 'model.safetensors')  # by the names of transformers 5


@pytest.mark.parametrize('pool', ['token', 'avg'])
@torch.no_grad()
def test_the_authors_files_of_mae_give_timms_logits(timm, pool):
    """Pretrained, with a decoder; and fine-tuned with the classification token, or the patches' mean and fc_norm."""
    theirs = of_timm(timm, global_pool=pool, num_classes=7)
    decoder = {'decoder_pos_embed': torch.zeros(1, 5, 24), 'decoder_blocks.0.norm1.bias': torch.zeros(24)}
    model = ours(dict(model=theirs.state_dict() | decoder | {'mask_token': torch.zeros(1, 1, 24)}), num_heads=4)
    images = torch.randn(2, 3, 32, 32)
    assert_close(model.cls_head(model.backbone(images[:, :, None])), theirs(images))


@pytest.mark.parametrize('size', [32, 48])
@torch.no_grad()
def test_deit_3_gives_timms_logits_by_timms_names_and_by_its_authors(timm, size):
    theirs = of_timm(timm, img_size=size, init_values=1e-4, no_embed_class=True, num_classes=7)
    images, state = torch.randn(2, 3, size, size), theirs.state_dict()
    for file in (
        state,
        dict(model={re.sub(r'ls(\d)\.gamma', r'gamma_\1', key): value for key, value in state.items()}),
    ):
        weights = translate(file)
        assert (weights.origin, weights.report.left_over) == ('deit3', [])
        model = ours(file, num_heads=4)
        assert_close(model.cls_head(model.backbone(images[:, :, None])), theirs(images))


@pytest.mark.parametrize('family', ['mae', 'mae of means', 'deit3'])
@torch.no_grad()
def test_divided_attention_gives_the_image_models_features_on_a_still_video(timm, family):
    changes = dict(mae={}, deit3=dict(init_values=1e-4, no_embed_class=True)).get(family, dict(global_pool='avg'))
    theirs, image = of_timm(timm, num_classes=7, **changes), torch.randn(2, 3, 1, 32, 32)
    weights = translate(theirs.state_dict())
    backbone = backbone_config(weights, num_heads=4) | dict(attention=dict(type='DividedAttention'), num_frames=3)
    model = MODELS.build(backbone).eval()
    model.init_weights()
    assert load_weights(weights, model).copied
    assert_close(
        model(image.expand(-1, -1, 3, -1, -1)),
        theirs.forward_head(theirs.forward_features(image[:, :, 0]), pre_logits=True),
    )


@torch.no_grad()
def test_a_converted_file_of_videomae_is_the_same_model(tmp_path):
    theirs = videomae(id2label={label: f'class {label}' for label in range(7)})
    theirs.save_pretrained(tmp_path / 'theirs')
    words, (path, _) = convert(str(tmp_path / 'theirs'), tmp_path / 'ours.safetensors')
    assert 'videomae (JointAttention), 30 weights matched' in words
    model, clips = ours(path), tiny_clips(2, 4, 32, 32)
    assert_close(model.cls_head(model.backbone(clips)), theirs(clips.transpose(1, 2)).logits)
    assert classes_of(read_checkpoint(str(path)), 7)[3] == 'class 3'
    with pytest.raises(ValueError, match='exists in mmtsf only; other formats have'):
        convert(str(path), tmp_path / 'back', to='huggingface')


VIDEO_CONFIG = {
    'start': None,
    'data.num_classes': 7,
    'clip.size': 32,
    'clip.num_frames': 4,
    'model.backbone': dict(embed_dims=48, num_heads=4, num_layers=2, patch_size=16, mlp=dict(type='MLP', ratio=2)),
    'model.backbone.attention.type': 'JointAttention',
    'model.backbone.embedding': dict(type='TubeletEmbedding'),
    'model.backbone.pool': 'mean',
    'model.backbone.position_init': 'image',
    'model.backbone.norm_eps': 1e-12,
    'model.backbone.last_norm_eps': 1e-5,
    'model.data_preprocessor': dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
}


def test_a_folder_of_several_labels_is_converted_by_itself(tmp_path):
    videomae(problem_type='multi_label_classification').save_pretrained(tmp_path / 'theirs')
    _, (path, _) = convert(str(tmp_path / 'theirs'), tmp_path / 'ours.safetensors')
    assert build(translate(read_checkpoint(str(path)))).cls_head.multi_class
    with pytest.raises(ValueError, match='several labels each, and this one is not; set data.multi_class=True'):
        init_recognizer(ROOT / TINY, path, 'cpu', VIDEO_CONFIG)


@torch.no_grad()
def test_a_folder_predicts_with_its_own_mean_and_a_wrong_one_is_refused(tmp_path):
    """transformers' own video processor has another mean than VideoMAE was trained with, where a folder tells none."""
    theirs = videomae()
    theirs.save_pretrained(tmp_path)
    told = dict(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225], rescale_factor=1 / 255, resample=2)
    told |= dict(size=dict(shortest_edge=32), crop_size=dict(height=32, width=32), do_center_crop=True)
    processor = tmp_path / 'preprocessor_config.json'
    processor.write_text(json.dumps(told))
    model = init_recognizer(ROOT / TINY, tmp_path, 'cpu', VIDEO_CONFIG)
    pixels = torch.randint(256, (1, 3, 4, 32, 32), dtype=torch.uint8)
    (result,) = model.test_step(dict(inputs=[pixels], data_samples=[ActionDataSample()]))
    mean, std = (torch.tensor(told[name]).view(3, 1, 1, 1) for name in ('image_mean', 'image_std'))
    logits = theirs(((pixels / 255 - mean) / std).transpose(1, 2)).logits
    assert_close(result.pred_scores.item, logits.softmax(1)[0])
    other = VIDEO_CONFIG | {'model.data_preprocessor': dict(mean=[127.5] * 3, std=[127.5] * 3)}
    with pytest.raises(
        ValueError, match=r'normalised otherwise; set model.data_preprocessor.mean=\[123.675,116.28,103.5'
    ):
        init_recognizer(ROOT / TINY, tmp_path, 'cpu', other)
    processor.write_text(json.dumps({key: value for key, value in told.items() if key != 'image_mean'}))
    with pytest.raises(ValueError, match='preprocessor_config.json has no image_mean; write it'):
        init_recognizer(ROOT / TINY, tmp_path, 'cpu', VIDEO_CONFIG)


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'model.backbone.last_norm_eps': None}, r'model.backbone.last_norm_eps=1e-05, or vit=NAME'),
        (
            {'clip.num_frames': 6},
            r'with embedding.places \[2,2,2\], and this one has \[3,2,2\]; set model.backbone.embedding',
        ),
        (
            {'model.backbone.embedding.type': 'ClipEmbedding', 'model.backbone.pool': 'cls'},
            r'with pool mean, and this one has cls; set model.backbone.pool=mean, or vit=NAME',
        ),
    ],
)
def test_a_model_that_computes_otherwise_is_refused_with_the_options(changes, said, tmp_path):
    videomae().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=said):
        init_recognizer(ROOT / TINY, tmp_path, 'cpu', VIDEO_CONFIG | changes)
