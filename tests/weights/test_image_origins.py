"""Models of CLIP's, DINOv2's and DINOv3's files give what the classes give that these files are of."""

import json
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import assert_close, randomise, tiny_clips
from safetensors.torch import save_file
from torch import Tensor, nn

from mmtsf.apis.pretrained import from_pretrained
from mmtsf.registry import MODELS
from mmtsf.utils.vits import shipped_vits
from mmtsf.weights import backbone_config, load_weights, read_checkpoint, translate
from mmtsf.weights.convert import convert
from mmtsf.weights.preprocessing import Preprocessing

transformers = pytest.importorskip('transformers')
SIZES = dict(hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4)
TEXT = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=10)
#: Family, kind of model, and what is other than usual
MODELS_OF = {
    'clip tower': ('CLIPVision', dict()),
    'clip': ('CLIP', dict()),
    'openclip': ('CLIP', dict(hidden_act='gelu')),
    'dinov2': ('Dinov2', dict()),
    'dinov2 gated': ('Dinov2', dict(use_swiglu_ffn=True)),
    'dinov2 registers': ('Dinov2WithRegisters', dict()),
    'dinov2 no registers': ('Dinov2WithRegisters', dict(num_register_tokens=0)),
    'dinov3': ('DINOv3ViT', dict(num_register_tokens=4)),
    'dinov3 plus': ('DINOv3ViT', dict(num_register_tokens=4, use_gated_mlp=True, hidden_act='silu')),
    'dinov3 without biases': ('DINOv3ViT', dict(query_bias=False, value_bias=False, rope_theta=50.0)),
}


def theirs_of(family: str) -> nn.Module:
    """Transformers' class with random weights, of frames of 32 pixels (28 of DINOv2)."""
    kind, changes = MODELS_OF[family]
    sizes = dict(SIZES, image_size=28, patch_size=14) if 'Dinov2' in kind else dict(SIZES, image_size=32, patch_size=16)
    config = getattr(transformers, 'CLIPVisionConfig' if 'CLIP' in kind else f'{kind}Config')(**sizes | changes)
    if kind == 'CLIP':
        config = transformers.CLIPConfig(vision_config=config.to_dict(), text_config=TEXT)
    return randomise(getattr(transformers, f'{kind}Model')(config)).eval()


def folder_of(theirs: nn.Module, path: Path) -> Path:
    """Save a model as Hugging Face does."""
    theirs.save_pretrained(path)
    return path


def tower(theirs: nn.Module) -> nn.Module:
    """The part that sees."""
    return getattr(theirs, 'vision_model', theirs)


def ours_of(source: Any, attention: str = 'SpaceAttention', **options: Any) -> nn.Module:
    """The backbone that a checkpoint, or a file, tells, with an attention scheme, started from it."""
    weights = translate(read_checkpoint(str(source)) if isinstance(source, Path) else source)
    config = backbone_config(weights, None if 'num_heads' in weights.options else 4) | options
    config['attention'] = dict(config['attention'], type=attention)
    backbone = MODELS.build(config).eval()
    backbone.init_weights()
    load_weights(weights, backbone)
    return backbone


def frames_of(clips: Tensor) -> Tensor:
    """Frames of clips, one after the other."""
    return clips.transpose(1, 2).flatten(0, 1)


@pytest.mark.parametrize('family', MODELS_OF)
@torch.no_grad()
def test_every_frames_tokens_are_those_of_transformers_class(family: str, tmp_path: Path) -> None:
    theirs = theirs_of(family)
    backbone = ours_of(folder_of(theirs, tmp_path))
    side = backbone.embedding.patch_size * 2
    clips = tiny_clips(2, 3, side, side)
    given, (tokens, grid) = tower(theirs)(frames_of(clips)), backbone.encode(clips)
    assert_close(backbone.norm(tokens[:, 0]), given.pooler_output)
    assert_close(tokens if 'clip' in family else backbone.norm(tokens), given.last_hidden_state)
    assert grid.lead == (5 if family in ('dinov2 registers', 'dinov3', 'dinov3 plus') else 1)


def renamed(state: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    """Weights by other names."""
    for old, new in names.items():
        state = {re.sub(old, new, key): value for key, value in state.items()}
    return state


def original_clip(theirs: nn.Module, whole: bool = True) -> dict[str, Tensor]:
    """A tower's weights as OpenAI's code has them, and with ``whole`` others of the model."""
    names = {
        r'embeddings\.class_embedding': 'class_embedding',
        r'embeddings\.position_embedding\.weight': 'positional_embedding',
        r'embeddings\.patch_embedding': 'conv1',
        'pre_layrnorm': 'ln_pre',
        'post_layernorm': 'ln_post',
        r'encoder\.layers': 'transformer.resblocks',
        'layer_norm': 'ln_',
        r'mlp\.fc1': 'mlp.c_fc',
        r'mlp\.fc2': 'mlp.c_proj',
        'self_attn': 'attn',
    }
    state = renamed(tower(theirs).state_dict(), names)
    for key in [key for key in state if '.q_proj.' in key]:
        three = [state.pop(key.replace('q_proj', f'{part}_proj')) for part in 'qkv']
        state[key.replace('.q_proj.', '.in_proj_')] = torch.cat(three)
    state['proj'] = torch.randn(48, 8)
    if not whole:
        return state
    text = {key: value for key, value in state.items() if key.startswith(('transformer', 'positional'))}
    text |= {'token_embedding.weight': torch.ones(2, 2), 'text_projection': torch.ones(2, 2)}
    text |= {'ln_final.weight': torch.ones(2), 'logit_scale': torch.ones(())}
    return {f'visual.{key}': value for key, value in state.items()} | text


def original_dino(theirs: nn.Module, chunks: bool = False) -> dict[str, Tensor]:
    """Weights as the code of DINOv2 and DINOv3 has them."""
    kind = type(theirs).__name__
    names = {
        r'^embeddings\.register_tokens': 'storage_tokens' if 'v3' in kind else 'register_tokens',
        r'^embeddings\.position_embeddings': 'pos_embed',
        r'^embeddings\.patch_embeddings\.(projection\.)?': 'patch_embed.proj.',
        r'^embeddings\.': '',
        r'^(encoder|model)\.layer\.': 'blocks.0.' if chunks else 'blocks.',
        r'\.layer_scale([12])\.lambda1': r'.ls\1.gamma',
        r'\.attention\.o_proj': '.attn.proj',
        r'^layernorm': 'norm',
        'up_proj': 'fc1',
        'down_proj': 'w3' if 'Dinov2' in kind else 'fc2',
    }
    if theirs.config.to_dict().get('use_gated_mlp'):
        names |= {'up_proj': 'w2', 'gate_proj': 'w1', 'down_proj': 'w3'}
    if theirs.config.to_dict().get('use_swiglu_ffn'):
        del names['up_proj']
    state = renamed(theirs.state_dict(), names)
    for key in [key for key in state if '.q_proj.weight' in key]:
        block = key.replace('.attention.q_proj.weight', '')
        weights = [state.pop(f'{block}.attention.{part}_proj.weight') for part in 'qkv']
        nothing = weights[0].new_full((48,), 3.0)  # what a mask takes away
        biases = [state.pop(f'{block}.attention.{part}_proj.bias', nothing) for part in 'qkv']
        state[f'{block}.attn.qkv.weight'], state[f'{block}.attn.qkv.bias'] = torch.cat(weights), torch.cat(biases)
        if 'v3' in kind:
            state[f'{block}.attn.qkv.bias_mask'] = torch.cat([torch.ones(48), torch.zeros(48), torch.ones(48)])
        for leaf in ('weight', 'bias') if f'{block}.mlp.up_proj.weight' in state else ():
            gates, values = (state.pop(f'{block}.mlp.{part}_proj.{leaf}') for part in ('gate', 'up'))
            state[f'{block}.mlp.w12.{leaf}'] = torch.cat([gates, values])
    if 'v3' in kind:
        state['rope_embed.periods'] = 100 ** (torch.arange(3) / 3)
    return state


ORIGINALS = {
    'clip tower': lambda theirs: original_clip(theirs, whole=False),
    'clip': lambda theirs: dict(original_clip(theirs), input_resolution=torch.tensor(32)),
    'openclip': original_clip,
    'dinov2': original_dino,
    'dinov2 gated': lambda theirs: original_dino(theirs, chunks=True),
    'dinov2 registers': original_dino,
    'dinov3': original_dino,
    'dinov3 plus': original_dino,
}


#: timm's models, and what is other than usual
TIMMS = {
    'vit_base_patch16_clip_224': dict(img_size=32),
    'vit_small_patch14_reg4_dinov2': dict(img_size=28),
    'vit_small_patch16_dinov3_qkvb': dict(),
    'vit_small_plus_patch16_dinov3': dict(),
}


@pytest.mark.parametrize('name', TIMMS)
@torch.no_grad()
def test_timms_files_of_these_families_are_the_same_models(name: str, timm: Any) -> None:
    theirs = randomise(timm.create_model(name, embed_dim=64, depth=2, num_heads=1, num_classes=0, **TIMMS[name])).eval()
    warned = pytest.warns(UserWarning, match='does not tell .* activation') if 'clip' in name else nullcontext()
    with warned:
        backbone = ours_of(theirs.state_dict(), num_heads=1)
    side = backbone.embedding.patch_size * 2
    frames = tiny_clips(2, 1, side, side)
    assert_close(backbone.norm(backbone.encode(frames)[0]), theirs.forward_features(frames[:, :, 0]))


@pytest.mark.parametrize('nested', [True, False])
def test_a_folder_of_timm_tells_its_pixels_and_not_the_usual_heads_of_transformers(nested, timm, tmp_path):
    theirs = timm.create_model('vit_small_patch14_reg4_dinov2', img_size=28, embed_dim=128, depth=1, num_heads=2)
    save_file(theirs.state_dict(), tmp_path / 'model.safetensors')
    pixels = dict(mean=[0.4, 0.5, 0.6], std=[0.2, 0.2, 0.25])
    told = dict(architecture='vit_small_patch14_reg4_dinov2') | (dict(pretrained_cfg=pixels) if nested else pixels)
    (tmp_path / 'config.json').write_text(json.dumps(told))
    for source in (tmp_path, tmp_path / 'model.safetensors'):
        weights = translate(read_checkpoint(str(source)))
        assert backbone_config(weights)['num_heads'] == 2
        assert weights.preprocessing.is_as(Preprocessing((102, 127.5, 153), (51, 51, 63.75)))
    with pytest.raises(ValueError, match='is no folder as Hugging Face saves it; init_recognizer'):
        from_pretrained(tmp_path)


@pytest.mark.parametrize('kind', ['ViTModel', 'ViTForImageClassification', 'ViTMSNModel'])
@torch.no_grad()
def test_folders_of_plain_vits_are_read_with_their_classifier(kind: str, tmp_path: Path) -> None:
    config = getattr(transformers, 'ViTMSNConfig' if 'MSN' in kind else 'ViTConfig')(
        image_size=32, **SIZES, num_labels=3
    )
    theirs = randomise(getattr(transformers, kind)(config)).eval()
    weights = translate(read_checkpoint(str(folder_of(theirs, tmp_path))))
    backbone, frames = ours_of(tmp_path), tiny_clips(2, 1, 32, 32)
    told = getattr(theirs, 'vit', theirs)(frames[:, :, 0]).last_hidden_state
    assert_close(backbone.norm(backbone.encode(frames)[0]), told)
    assert ('cls_head.fc_cls.weight' in weights.state) == ('Classification' in kind)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(reg_token=torch.ones(1, 4, 48)), 'their model computes with have no place.*: reg_token; take'),
        ({'norm_pre.bias': torch.ones(48)}, 'norm_pre.bias; take a model of docs/weights.md'),
        (dict(cls_token=None), 'have no classification token'),
    ],
)
def test_what_a_model_computes_with_cannot_be_left_out(change: dict, words: str, timm: Any) -> None:
    theirs = timm.models.vision_transformer.VisionTransformer(32, 16, embed_dim=48, depth=1, num_heads=4)
    state = {key: value for key, value in (theirs.state_dict() | change).items() if value is not None}
    with pytest.raises(ValueError, match=words) as told:
        translate(state, allow=(r'reg_token|norm_pre\..*|cls_token',))
    assert '--allow' not in str(told.value)


def test_a_layer_scale_of_clip_cannot_be_left_out() -> None:
    state, key = original_clip(theirs_of('clip')), 'visual.transformer.resblocks.0.ls_1.gamma'
    with pytest.raises(ValueError, match=f'their model computes with have no place.*: {key}; take'):
        translate(state | {key: torch.ones(48)}, allow=(key,))


@pytest.mark.parametrize('kind', ['Vivit', 'DeiT'])
def test_a_folder_of_another_family_is_named_by_what_it_says_of_itself(kind: str, tmp_path: Path) -> None:
    theirs = getattr(transformers, f'{kind}Model')(getattr(transformers, f'{kind}Config')(image_size=32, **SIZES))
    with pytest.raises(ValueError, match=f"has model_type '{kind.lower()}', expected one of vit_mae, vit"):
        translate(read_checkpoint(str(folder_of(theirs, tmp_path))))


@pytest.mark.parametrize('family', ORIGINALS)
@torch.no_grad()
def test_the_authors_files_are_the_same_models(family: str) -> None:
    theirs = theirs_of(family)
    source = dict(state_dict=ORIGINALS[family](theirs))
    options = dict(mlp=dict(type='MLP', ratio=2, activation='quick_gelu')) if family == 'clip tower' else {}
    with (
        pytest.warns(UserWarning, match='does not tell .* activation')
        if family in ('clip tower', 'openclip')
        else nullcontext()
    ):
        backbone = ours_of(source, **options)
    side = backbone.embedding.patch_size * 2
    frames = tiny_clips(2, 1, side, side)
    assert_close(backbone(frames), tower(theirs)(frames[:, :, 0]).pooler_output)


@pytest.mark.parametrize(
    ('family', 'name'),
    [
        ('clip', 'clip_vit_base_patch16'),
        ('openclip', 'openclip_vit_base_patch16_laion2b'),
        ('dinov2', 'dinov2_vit_base_patch14'),
        ('dinov2 gated', 'dinov2_vit_giant_patch14'),
        ('dinov2 registers', 'dinov2_vit_base_patch14_reg4'),
        ('dinov3', 'dinov3_vit_base_patch16'),
        ('dinov3 plus', 'dinov3_vit_huge_plus_patch16'),
    ],
)
def test_an_architecture_by_name_has_the_parts_that_its_weights_tell(family: str, name: str) -> None:
    told = translate(dict(state_dict=ORIGINALS[family](theirs_of(family)))).options
    backbone = shipped_vits()[name]['backbone']
    for part in ('layer_scale', 'position', 'step'):
        assert backbone.get(part) == told.get(part)
    embeddings = (dict(norm_eps=1e-5) | options.get('embedding', {}) for options in (backbone, told))
    assert next(embeddings) == next(embeddings)
    assert backbone.get('norm_eps', 1e-6) == told.get('norm_eps', 1e-6)
    activation = told.get('mlp', {}).get('activation', 'gelu')
    assert backbone.get('mlp', {}).get('activation', 'gelu') == activation or activation is None


@pytest.mark.parametrize('family', ['clip tower', 'dinov2', 'dinov2 registers', 'dinov3'])
@pytest.mark.parametrize('is_loaded', [False, True], ids=['in the forward pass', 'when it is loaded'])
@torch.no_grad()
def test_positions_are_interpolated_as_transformers_class_does(family: str, is_loaded: bool, tmp_path: Path) -> None:
    kind, _ = MODELS_OF[family]
    theirs = theirs_of(family)
    size = theirs.config.image_size
    if hasattr(theirs, 'embeddings') and 'Dinov2' in kind:  # a larger table, so that it is made smaller, too
        theirs.embeddings.position_embeddings = nn.Parameter(torch.randn(1, 26, 48))
        theirs.config.image_size = 70
    folder_of(theirs, tmp_path)
    height, width = size + size // 2, size
    backbone = ours_of(tmp_path, **dict(img_size=(height, width)) if is_loaded else {})
    frames = tiny_clips(2, 1, height, width)
    options = dict(interpolate_pos_encoding=True) if 'CLIP' in kind else {}
    assert_close(backbone(frames), theirs(frames[:, :, 0], **options).pooler_output)


@pytest.mark.parametrize('family', ['clip', 'dinov2', 'dinov2 registers', 'dinov3 plus'])
def test_a_divided_model_gives_the_images_features_on_a_still_video_and_learns(family: str, tmp_path: Path) -> None:
    theirs = theirs_of(family)
    backbone = ours_of(folder_of(theirs, tmp_path), 'DividedAttention', num_frames=4)
    side = backbone.embedding.patch_size * 2
    frames = tiny_clips(2, 1, side, side)
    clips = frames.expand(-1, -1, 4, -1, -1)
    with torch.no_grad():
        assert_close(backbone(clips), tower(theirs)(frames[:, :, 0]).pooler_output)
    randomise(nn.ModuleList(block.attention.steps['time'].temporal_fc for block in backbone.blocks))
    for with_cp in (False, True):
        backbone.with_cp = with_cp
        backbone.zero_grad()
        backbone.train()(tiny_clips(2, 4, side, side)).square().sum().backward()
        assert [name for name, weight in backbone.named_parameters() if not weight.grad.abs().sum()] == []


def test_what_a_file_tells_comes_along_when_it_is_converted(tmp_path: Path) -> None:
    for family in ('clip', 'dinov2 registers', 'dinov3 plus'):
        source, target = folder_of(theirs_of(family), tmp_path / family), tmp_path / f'{family}.safetensors'
        words, _ = convert(str(source), target)
        assert ('text_model' in words and 'patch.bias' in words) == (family == 'clip')
        frames = tiny_clips(2, 1, 28 * 2, 28 * 2) if 'dinov2' in family else tiny_clips(2, 1, 32, 32)
        with torch.no_grad():
            assert torch.equal(ours_of(target)(frames), ours_of(source)(frames))


@pytest.mark.parametrize(
    ('family', 'options', 'words'),
    [
        ('clip', dict(mlp=dict(type='MLP', ratio=2)), 'mlp.activation=quick_gelu'),
        ('clip', dict(embedding=dict(type='ClipEmbedding')), 'NormEmbedding.* set vit=NAME'),
        ('dinov2', dict(layer_scale=None), 'layer_scale=1.0.* set vit=NAME'),
        ('dinov2 registers', dict(embedding=dict(type='ClipEmbedding', antialias=True)), 'num_registers'),
        ('dinov2 registers', dict(embedding=dict(type='RegisterEmbedding')), 'embedding.antialias=True'),
        ('dinov3', dict(step=None), r"step=dict\(type='RotaryStep',base=100.0\)"),
        ('dinov3', dict(position='space_time'), 'position=time.* set vit=NAME'),
        ('dinov3', dict(norm_eps=1e-6), 'norm_eps=1e-05'),
        ('clip tower', dict(embedding=dict(type='NormEmbedding', norm_eps=1e-3)), 'backbone.embedding.norm_eps=1e-05'),
    ],
)
def test_a_model_of_other_parts_is_refused_with_the_word_to_set(family, options, words, tmp_path: Path) -> None:
    folder = folder_of(theirs_of(family), tmp_path)
    with pytest.raises(ValueError, match=f'(?s){words}'):
        ours_of(folder, 'DividedAttention', **options)


@pytest.mark.parametrize(
    ('family', 'changes', 'words'),
    [
        ('clip', dict(hidden_act='gelu_new'), "hidden_act 'gelu_new', expected one of"),
        ('clip', None, 'no vision_config'),
        ('clip tower', dict(num_attention_heads='4'), "num_heads is '4', expected a whole number"),
        ('clip tower', dict(layer_norm_eps=[1]), 'norm_eps is'),
        ('dinov2', dict(hidden_act='relu'), "hidden_act 'relu', expected 'gelu'"),
        ('dinov2', dict(model_type='dinov2_with_registers'), "model_type 'dinov2_with_registers', expected 'dinov2'"),
        ('dinov3', dict(rope_theta='torch.load'), "step.base is 'torch.load', expected a number"),
        ('dinov3', dict(hidden_act='quick'), "hidden_act 'quick', expected one of gelu"),
        ('dinov3', dict(patch_size=8), 'patch_size is 8, and 16 by its weights'),
    ],
)
def test_a_config_json_with_what_we_do_not_have_is_refused(family, changes, words, tmp_path: Path) -> None:
    path = folder_of(theirs_of(family), tmp_path) / 'config.json'
    config = json.loads(path.read_text())
    if changes is None:
        del config['vision_config']
    else:
        config.get('vision_config', config).update(changes)
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=words):
        ours_of(tmp_path)


def test_dropout_of_attention_is_said_to_have_no_place(tmp_path: Path) -> None:
    theirs = theirs_of('clip tower')
    theirs.config.attention_dropout = 0.1
    with pytest.warns(UserWarning, match='attention_dropout 0.1, which has no place here'):
        ours_of(folder_of(theirs, tmp_path))


@pytest.mark.parametrize(('family', 'crop'), [('clip', 32), ('dinov2', 56), ('dinov3', 64)])
def test_how_frames_are_normalised_comes_along_from_the_processor(family: str, crop: int, tmp_path: Path) -> None:
    folder_of(theirs_of(family), tmp_path)
    mean, std = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]
    told = dict(image_mean=mean, image_std=std, size=dict(shortest_edge=crop), crop_size=dict(height=crop, width=crop))
    (tmp_path / 'preprocessor_config.json').write_text(json.dumps(dict(told, image_processor_type='AnImageProcessor')))
    weights = translate(read_checkpoint(str(tmp_path / 'model.safetensors')))
    assert weights.multi_class is None
    assert weights.preprocessing.mean == pytest.approx([value * 255 for value in mean])
    assert weights.preprocessing.std == pytest.approx([value * 255 for value in std])
