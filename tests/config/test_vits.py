"""An architecture by a word: a start by its published name brings parts, sizes, mean, std and size of frames."""

import re

import pytest
import torch
import yaml
from test_any_state import PAPER, TINY, child_of
from test_references import geometry_of

import mmtsf
from mmtsf.config import load_config, read_config, resolve, settle
from mmtsf.config.origins import origins
from mmtsf.registry import MODELS
from mmtsf.utils.sources import MODEL_INDEX
from mmtsf.utils.vits import PLAIN, shipped_vits
from mmtsf.weights.geometry import Geometry
from mmtsf.weights.preprocessing import Preprocessing

CLIP, DINO, VIDEOMAE = 'clip_vit_base_patch16', 'dinov2_vit_base_patch14', 'videomae_base_patch16'
SMALL = {f'model.backbone.{name}': value for name, value in dict(embed_dims=48, num_heads=4, num_layers=1).items()}


def test_every_architecture_but_the_papers_has_published_weights_of_its_name_with_a_licence():
    entries = yaml.safe_load(MODEL_INDEX.read_text())['Models']
    starts = {entry['Name']: entry for entry in entries if entry['In Collection'] not in ('TimeSformer', 'ViT')}
    assert set(starts) | {PLAIN} == set(shipped_vits())
    for entry in entries:
        assert 'Config' in entry or {'Training Data', 'Licence'} <= set(entry['Metadata'])
    assert {name for name in starts if 'Gated' in starts[name]['Metadata']} == {name for name in starts if 'v3' in name}


@pytest.mark.parametrize('name', shipped_vits())
def test_every_architecture_is_one_that_a_file_may_tell_and_that_is_built(name):
    vit = shipped_vits()[name]
    told = Geometry.parse(dict(vit['backbone'], attention=dict(type='JointAttention'))).config()
    assert told['embed_dims'] % told['num_heads'] == 0
    with torch.device('meta'):
        backbone = MODELS.build(told | dict(embed_dims=48, num_heads=4, num_layers=1))
    assert backbone.embedding.patch.weight.shape[-1] == vit['backbone']['patch_size']
    assert vit['size'] % vit['backbone']['patch_size'] == 0


@pytest.mark.parametrize('name', [CLIP, 'openclip_vit_large_patch14_laion2b', VIDEOMAE])
def test_exports_have_the_pixels_of_the_start(name):
    pixels = Preprocessing.of_config(load_config(PAPER, dict(start=name)))
    vit = shipped_vits()[name]
    assert pixels == Preprocessing(tuple(vit['mean']), tuple(vit['std']), short_side=224)


@pytest.mark.parametrize('how', ['option', 'child', 'zoo', 'init_cfg', 'load_from', 'vit'])
def test_a_name_brings_parts_sizes_and_pixels(how, tmp_path):
    texts = dict(child=f'start = {CLIP!r}', init_cfg=f"model = dict(backbone=dict(init_cfg=dict(checkpoint='{CLIP}')))")
    options = dict(option=dict(start=CLIP), load_from=dict(load_from=CLIP), vit=dict(vit=CLIP, start='mine.pth'))
    if how == 'zoo':
        model = mmtsf.get_config('timesformer_base_k400', options=dict(start=CLIP)).model
    elif how in texts:
        model = resolve(child_of(PAPER, texts[how], tmp_path)).model
    else:
        model = load_config(PAPER, options[how]).model
    backbone = model.backbone
    assert (backbone.norm_eps, backbone.patch_size, backbone.num_heads, model.cls_head.in_channels) == (
        1e-5,
        16,
        12,
        768,
    )
    assert (backbone.mlp, backbone.embedding.type) == (dict(type='MLP', activation='quick_gelu'), 'NormEmbedding')
    assert backbone.attention == dict(type='DividedAttention')
    assert model.data_preprocessor.mean == pytest.approx([255 * x for x in (0.48145466, 0.4578275, 0.40821073)])
    assert model.data_preprocessor.std == pytest.approx([255 * x for x in (0.26862954, 0.26130258, 0.27577711)])


def test_its_size_is_that_of_clips_unless_the_config_has_one():
    name = 'clip_vit_large_patch14_336'
    assert geometry_of(load_config(PAPER, dict(start=name))) == {(8, 336)}
    assert geometry_of(load_config(PAPER, {'start': name, 'clip.size': 224})) == {(8, 224)}
    assert geometry_of(load_config(PAPER.with_name('timesformer_hr_k400.py'), dict(start=name))) == {(16, 448)}
    assert geometry_of(load_config(PAPER.with_name('timesformer_l_k400.py'), dict(start=VIDEOMAE))) == {(96, 224)}


def test_other_starts_have_the_papers_architecture():
    plain = load_config(PAPER).model
    assert (plain.data_preprocessor.mean, plain.backbone.patch_size) == ([114.75] * 3, 16)
    for start in (None, 'vit_base_imagenet1k', 'mine.pth', 'https://host/clip.pth'):
        model = load_config(PAPER, dict(start=start)).model
        assert model.backbone.pop('init_cfg').checkpoint == start
        assert model == dict(plain, backbone={key: value for key, value in plain.backbone.items() if key != 'init_cfg'})


def test_what_a_run_leaves_has_the_same_architecture_also_without_its_start(tmp_path):
    lists = {'data.source': 'list'}
    settle(read_config(PAPER, dict(lists, start=DINO))).dump(tmp_path / 'left.py')
    for start in (DINO, None):
        left, given = load_config(tmp_path / 'left.py', dict(start=start)), load_config(PAPER, dict(lists, start=DINO))
        given.model.backbone.init_cfg.checkpoint = start
        assert left.to_dict() == given.to_dict()
    assert load_config(tmp_path / 'left.py', dict(start=CLIP, vit='auto')).model.backbone.patch_size == 16
    assert len(read_config(tmp_path / 'left.py').vits) == 1
    assert 'vits' not in settle(read_config(PAPER, lists))


def test_an_architecture_of_ones_own_may_begin_as_another(tmp_path):
    text = f"""
vits = dict(mine=dict(_use_='${{vits.{DINO}}}', mean=[1.0, 2.0, 3.0], backbone=dict(norm_eps=0.5)))
vit, start = 'mine', {DINO!r}
"""
    config = child_of(PAPER, text, tmp_path)
    model = resolve(config).model
    assert (model.data_preprocessor.mean, model.backbone.norm_eps, model.backbone.patch_size) == ([1, 2, 3], 0.5, 14)
    found = {name: (place, origin) for name, _, place, origin in origins(config)}
    assert found['model.backbone.norm_eps'] == ('vits.mine.backbone.norm_eps', str(tmp_path / 'child.py'))
    place = f'vits.{DINO}.backbone.patch_size'
    assert found['model.backbone.patch_size'][0] == place
    assert found['model.backbone.patch_size'][1].endswith('configs/_base_/models/vits.py')


@pytest.mark.parametrize(
    ('config', 'options', 'words'),
    [
        (
            PAPER,
            dict(vit='clip_vit_base_path16'),
            "no architecture of that name; did you mean 'clip_vit_base_patch16' or",
        ),
        (PAPER, dict(vit='xyz'), "vit is 'xyz', and there is no architecture of that name; known are auto, vit_base"),
        (
            PAPER,
            dict(vit=DINO, start=CLIP),
            f"vit is '{DINO}', and start={CLIP} is of another architecture; set vit={CLIP}",
        ),
        (
            TINY,
            dict(start=CLIP),
            f'model.backbone.patch_size is 8, and start={CLIP} has 16; leave model.backbone.patch',
        ),
        (PAPER, {'start': CLIP, **SMALL}, f'model.backbone.embed_dims is 48, and start={CLIP} has 768'),
        (
            PAPER,
            {'start': DINO, 'clip.size': 96},
            'img_size is 96 x 96 (height x width), expected multiples of patch_size 14',
        ),
        (
            PAPER,
            {'start': VIDEOMAE, 'clip.num_frames': 7},
            'clips have 7 frames, expected a multiple of 2, the frames of a',
        ),
        (PAPER, {'vits.mine.maen': 1}, "the option 'vits.mine.maen' changes nothing"),
        (
            PAPER,
            {'start': CLIP, f'vits.{DINO}.size': 98},
            f"the option 'vits.{DINO}.size' changes nothing: no value of this config",
        ),
    ],
)
def test_mistakes_are_named_before_anything_is_fetched_or_built(config, options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        load_config(config, options)
