"""Files and folders of every family start our models by the word of its architecture, which train and predict."""

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from helpers import randomise
from mmaction.structures import ActionDataSample
from mmengine.optim import build_optim_wrapper
from runs import ROOT, TINY
from safetensors.torch import save_file
from torch import Tensor, nn

from mmtsf.config import load_config
from mmtsf.engine.quickstart import pixels_of
from mmtsf.registry import MODELS
from mmtsf.utils.sources import MODEL_INDEX, published
from mmtsf.utils.vits import shipped_vits
from mmtsf.weights import Weights, load_weights, read_checkpoint, translate
from mmtsf.weights.convert import convert
from mmtsf.weights.fitting import fitting_vits, fitting_words
from mmtsf.weights.sources import cached, fetch

transformers = pytest.importorskip('transformers')
PAPER = 'mmtsf::timesformer_base_k400.py'
SIZES = dict(hidden_size=48, num_attention_heads=4, num_hidden_layers=2, intermediate_size=96)
#: Architecture, transformers' class, and what its config has beside sizes
FAMILIES = {
    'clip_vit_base_patch16': ('CLIPVision', dict()),
    'clip_vit_large_patch14': ('CLIPVision', dict(patch_size=14)),
    'openclip_vit_huge_patch14_laion2b': ('CLIPVision', dict(hidden_act='gelu', patch_size=14)),
    'dinov2_vit_base_patch14': ('Dinov2', dict(patch_size=14)),
    'dinov2_vit_giant_patch14': ('Dinov2', dict(patch_size=14, use_swiglu_ffn=True)),
    'dinov2_vit_small_patch14_reg4': ('Dinov2WithRegisters', dict(patch_size=14)),
    'dinov3_vit_large_patch16': (
        'DINOv3ViT',
        dict(num_register_tokens=4, num_attention_heads=1),
    ),  # of 64 channels, by the width
    'dinov3_vit_huge_plus_patch16': (
        'DINOv3ViT',
        dict(num_register_tokens=4, num_attention_heads=1, use_gated_mlp=True, hidden_act='silu'),
    ),
    'mae_vit_base_patch16': ('ViTMAE', dict(layer_norm_eps=1e-6)),
    'videomae_base_patch16': ('VideoMAE', dict(num_frames=4)),
}


def theirs_of(name: str) -> nn.Module:
    """Transformers' class of an architecture, small and with random weights, of frames of two by two patches."""
    kind, changes = FAMILIES[name]
    sizes = SIZES | dict(patch_size=16) | changes
    config = getattr(transformers, f'{kind}Config')(image_size=2 * sizes['patch_size'], **sizes)
    return randomise(getattr(transformers, f'{kind}Model')(config))


def options_of(name: str, start: Path, theirs: nn.Module) -> dict:
    """Options that start a small model from a file or folder."""
    config, swiglu = theirs.config, 'giant' in name
    ratio = 128 / 48 if swiglu else 4 if 'dinov2' in name else 2  # DINOv2 has a ratio of its own, and of it two thirds
    return {
        'start': str(start),
        'vit': name,
        'clip.size': config.image_size,
        'clip.num_frames': 4,
        'data.num_classes': 3,
        'model.backbone.embed_dims': 48,
        'model.backbone.num_heads': config.num_attention_heads,
        'model.backbone.num_layers': 2,
        'model.backbone.mlp.type': 'GatedMLP' if swiglu or 'plus' in name else 'MLP',
        'model.backbone.mlp.ratio': ratio,
    } | ({'model.backbone.embedding.places': (2, 2, 2)} if 'videomae' in name and start.is_dir() else {})


def learns_a_batch(options: dict, **more: str) -> tuple[nn.Module, Tensor]:
    """A started model that has made one step, and its scores of a clip."""
    config = load_config(PAPER, options | more)
    model = MODELS.build(config.model)
    model.init_weights()
    size = options['clip.size']
    batch = dict(
        inputs=[torch.randint(256, (1, 3, 4, size, size), dtype=torch.uint8) for _ in range(2)],
        data_samples=[ActionDataSample().set_gt_labels(label) for label in (0, 2)],
    )
    loss = model.train_step(batch, build_optim_wrapper(model, config.optim_wrapper))['loss']
    assert loss.isfinite()
    scores = model.eval().test_step(batch)[0].pred_scores.item
    assert scores.shape == (3,)
    return model, scores


@pytest.mark.parametrize(
    ('kind', 'name'), [*(('file', name) for name in FAMILIES), *(('folder', name) for name in list(FAMILIES)[::3])]
)
def test_a_start_of_every_family_learns_and_predicts(kind, name, tmp_path):
    theirs, start = theirs_of(name), tmp_path / 'bare.safetensors'
    if kind == 'folder':
        theirs.save_pretrained(start := tmp_path / 'folder')
    else:  # without a config.json, which would tell heads and epsilon
        save_file({key: value.contiguous() for key, value in theirs.state_dict().items()}, start)
    learns_a_batch(options_of(name, start, theirs))


def test_a_start_whose_frames_are_normalised_otherwise_is_refused(tmp_path):
    """A folder, or a file of ours, unless the config keeps its own knowingly; what else differs is named with it."""
    name, folder = 'mae_vit_base_patch16', tmp_path / 'mae'
    theirs = theirs_of(name)
    theirs.save_pretrained(folder)
    told = dict(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225], size=dict(height=32, width=32))
    (folder / 'preprocessor_config.json').write_text(json.dumps(dict(told, image_processor_type='ViTImageProcessor')))
    _, (ours, _) = convert(str(folder), tmp_path / 'ours.safetensors')
    config = load_config(PAPER, options_of(name, folder, theirs)).model

    def starts(checkpoint, **changes):
        config.backbone.init_cfg.checkpoint = str(checkpoint)
        model = MODELS.build(config)
        model.init_weights()
        return model

    assert not hasattr(starts(folder).backbone, 'preprocessors')  # as the word has the same
    config.data_preprocessor.update(mean=[114.75] * 3, std=[57.375] * 3)
    said = (
        r'normalised otherwise; set model.data_preprocessor.mean=\[123.675,116.28,103.53\] .*init_cfg.preprocessing=own'
    )
    for checkpoint in (folder, ours):
        with pytest.raises(ValueError, match=said):
            starts(checkpoint)
    config.backbone.norm_eps = 1e-3
    with pytest.raises(ValueError, match=f'set model.backbone.norm_eps=1e-06.* and whose frames are {said}'):
        starts(folder)
    config.backbone.update(norm_eps=1e-6)
    config.backbone.init_cfg.preprocessing = 'own'
    assert starts(folder).data_preprocessor.mean.flatten()[0] == 114.75


def test_a_file_without_the_word_names_the_architectures_that_it_fits():
    """As far as it tells: OpenAI's files of CLIP tell the activation, others do not."""
    shapes = {
        'embedding.patch.weight': (768, 3, 16, 16),
        **{f'blocks.{i}.mlp.2.weight': (768, 3072) for i in range(12)},
    }
    state = {f'backbone.{name}': torch.zeros(1).expand(shape) for name, shape in shapes.items()}
    parts = dict(embedding=dict(type='NormEmbedding'), norm_eps=1e-5)
    for mlp, names in (
        (dict(activation='quick_gelu'), ['clip_vit_base_patch16']),
        (dict(activation=None), ['clip_vit_base_patch16', 'openclip_vit_base_patch16_laion2b']),
    ):
        assert fitting_vits(Weights(state, 'clip', 'image', dict(parts, mlp=mlp))) == names
    assert pixels_of('mine.pth', Weights(state, 'clip', 'image', parts | dict(mlp=mlp)))['mean'][0] == 122.7709383
    plain = Weights(state, 'timm', 'image', {})
    assert pixels_of('openclip_vit_large_patch14_laion2b', plain) == dict(mean=[127.5] * 3, std=[127.5] * 3)
    assert pixels_of('mine.pth', plain) == {}  # the paper's and MAE's are as likely
    assert fitting_vits(plain) == ['vit_base_patch16', 'mae_vit_base_patch16']
    with pytest.raises(
        ValueError, match='is of a model of timm.*; set vit=vit_base_patch16 or vit=mae_vit_base_patch16'
    ):
        load_weights(plain, MODELS.build(load_config(TINY).model))
    assert fitting_words(Weights(state, 'clip', 'image', dict(parts, num_heads=4))) == 'vit=NAME'


def test_videomae_without_time_is_refused_with_what_it_needs():
    options = {'vit': 'videomae_base_patch16', 'start': None, 'model.backbone.attention.type': 'SpaceAttention'}
    with pytest.raises(
        ValueError, match='TubeletEmbedding has fixed positions over space and time, for attention that'
    ):
        MODELS.build(load_config(PAPER, options).model)


def test_pixels_of_a_start_are_written_into_what_is_exported(tmp_path):
    theirs_of('mae_vit_base_patch16').save_pretrained(tmp_path / 'mae')
    sizes = dict(embed_dims=48, num_heads=4, num_layers=2, mlp=dict(type='MLP', ratio=2), drop_path_rate=0.0)
    lines = dict(_base_=PAPER, start=None, vit='mae_vit_base_patch16', clip=dict(size=32), model=dict(backbone=sizes))
    (tmp_path / 'child.py').write_text('\n'.join(f'{name} = {value!r}' for name, value in lines.items()))
    for target, to in ((tmp_path / 'ours.safetensors', 'mmtsf'), (tmp_path / 'theirs', 'huggingface')):
        convert(str(tmp_path / 'mae'), target, to, config=str(tmp_path / 'child.py'))
    assert translate(read_checkpoint(str(tmp_path / 'ours.safetensors'))).preprocessing.mean == (
        123.675,
        116.28,
        103.53,
    )
    told = json.loads((tmp_path / 'theirs/preprocessor_config.json').read_text())
    assert told['image_mean'] == pytest.approx([0.485, 0.456, 0.406])
    assert told['image_std'] == pytest.approx([0.229, 0.224, 0.225])


def test_programs_of_torchscript_are_refused_with_what_to_take_instead(tmp_path):
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(str(tmp_path / 'ViT-B-16.pt'))
    with pytest.raises(
        ValueError, match='an archive of TorchScript, which is a program .*: start=clip_vit_base_patch16'
    ):
        read_checkpoint(str(tmp_path / 'ViT-B-16.pt'))


def test_what_is_given_under_terms_says_where_to_accept_them():
    address = published()['dinov3_vit_base_patch16']
    with pytest.raises(FileNotFoundError) as told:
        fetch('http://127.0.0.1:9/model.safetensors', page=address.page)
    page = 'https://huggingface.co/facebook/dinov3-vitb16-pretrain-lvd1689m'
    place = cached('http://127.0.0.1:9/model.safetensors')
    assert str(told.value).endswith(f'; accept its terms at {page}, fetch it there and put it at {place}')


def test_the_table_has_every_start_with_its_pixels_and_licence():
    """One row a family, as the index and the table of architectures have it."""
    rows = re.findall(r'^\| .*`(?:vit_base_imagenet21k|\w+_)`.*$', (ROOT / 'docs/weights.md').read_text(), re.MULTILINE)
    index = {entry['Name']: entry for entry in yaml.safe_load(MODEL_INDEX.read_text())['Models']}
    found = set()
    for row in rows:
        family, _, parity, pixels, licence = row.strip('| ').split(' | ')
        words = re.findall(r'`(\w+)`', family)
        beginning = words[0] if words[0].endswith('_') else ''
        names = [name for name in index if name in words or beginning and name.startswith(beginning)]
        assert names, row
        assert re.match(r'\d', parity)
        for name in names:
            assert index[name]['Metadata']['Licence'] in licence
            vit = shipped_vits().get(name, shipped_vits()['vit_base_patch16'])
            assert str(vit['size']) in pixels
            mean = (
                'ImageNet'
                if vit['mean'][0] == 123.675
                else 'CLIP'
                if 'openclip' in name and vit['mean'][0] != 127.5
                else f'{vit["mean"][0]:.5g}'
            )
            assert mean in pixels, name
        found |= set(names)
    assert found >= {name for name, entry in index.items() if 'Results' not in entry}
