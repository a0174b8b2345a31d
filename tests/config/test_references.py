"""Every shipped config loads, builds, reads a video and trains a step; what is misspelt is named."""

import ast
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from helpers import SHARED
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import Registry
from videos import write_video

import mmtsf.datasets
import mmtsf.engine.hooks
import mmtsf.evaluation
import mmtsf.models  # noqa: F401  # registers
from mmtsf.config import load_config
from mmtsf.datasets.shards.shard_index import Shard, ShardVideo, head_line
from mmtsf.registry import DATA_SAMPLERS, DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS
from mmtsf.utils.sources import MODEL_INDEX

CONFIGS = sorted(Path(__file__).parents[2].glob('configs/*.py'))
NAMES = [path.stem.removeprefix('timesformer_') for path in CONFIGS]
CLASSES = dict(k400=400, k600=600, ssv2=174, diving48=48, howto100m=1059, motion=4)
#: (frames, interval, pixels, jitter) of the paper's clips
CLIPS = dict(hr=(16, 16, 448, (448, 512)), l=(96, 4, 224, (256, 320)), tiny=(8, 3, 48, (48, 56)))
BASE = (8, 32, 224, (256, 320))
SCHEMES = ('space', 'joint', 'base', 'local_global', 'axial', 'rotary')
TINY = {
    'clip.num_frames': 4,
    'clip.size': 64,
    'model.backbone.embed_dims': 24,
    'model.backbone.num_heads': 2,
    'model.backbone.num_layers': 2,
    'model.backbone.drop_path_rate': 0.0,
    'data.num_classes': 5,
}
DEMO = SHARED / 'data' / 'awkward' / 'mmaction2' / 'demo.mp4'  # 280 frames of 256 x 340
SPLITS = ('train', 'val', 'test')

every_config = pytest.mark.parametrize('name', NAMES)


def load(name: str, **options) -> Config:
    """The shipped config of this name, changed by options."""
    return load_config(str(CONFIGS[NAMES.index(name)]), options) if options else shipped(name)


@cache
def shipped(name: str) -> Config:
    return load_config(str(CONFIGS[NAMES.index(name)]))


def clip_of(name: str) -> tuple:
    """(frames, interval, pixels, jitter) that the config of this name is to have."""
    num_frames, interval, size, jitter = CLIPS.get(name.split('_')[0], BASE)
    return num_frames, 32 if name.endswith('howto100m') else interval, size, jitter


def pipeline_of(config: Config, split: str) -> dict[str, Any]:
    """Transforms of a split by their names."""
    transforms = config[f'{split}_dataloader'].dataset.pipeline
    return {transform.type: transform for one in transforms for transform in [one, *one.get('transforms', [])]}


def geometry_of(config: Config) -> set[tuple[int, int]]:
    """(frames, pixels) as the backbone and all three pipelines have them; one pair where they agree."""
    found = {(config.model.backbone.num_frames, config.model.backbone.img_size)}
    for split in SPLITS:
        steps = pipeline_of(config, split)
        frames = steps['SampleClips'].num_frames if 'SampleClips' in steps else steps['SampleSegments'].clip_len
        found.add((frames, steps['RandomCrop' if split == 'train' else 'CropViews'].size))
    return found


@every_config
def test_no_reference_is_left(name):
    config = load(name)
    assert '${' not in str(config.to_dict())
    assert not {'clip', 'data', 'protocol', 'protocols', 'sampling', 'views'} & set(config)


@every_config
def test_clips_have_the_papers_geometry_everywhere(name):
    config = load(name)
    num_frames, interval, size, jitter = clip_of(name)
    assert geometry_of(config) == {(num_frames, size)}
    for split in SPLITS:
        steps = pipeline_of(config, split)
        assert ('SampleSegments' in steps) == name.endswith('ssv2')
        assert steps.get('SampleClips', dict(frame_interval=interval))['frame_interval'] == interval
        if split == 'train':
            assert steps['RandomRescale'].scale_range == jitter
            assert steps['Flip'].flip_ratio == (0 if name.endswith(('ssv2', 'motion')) else 0.5)
        else:
            assert steps['Resize'].scale == (-1, size)


@every_config
def test_a_model_is_built_with_the_classes_of_its_data_set(name):
    config, num_classes = load(name), CLASSES[name.split('_')[-1]]
    with torch.device('meta'):
        model = MODELS.build(config.model)
    assert model.cls_head.fc_cls.out_features == num_classes
    assert [config[f'{split}_dataloader'].dataset.num_classes for split in SPLITS] == [num_classes] * 3


@pytest.mark.parametrize(
    ('name', 'classes', 'parameters'),
    [
        ('space_k400', 174, 85_932_462),
        ('joint_k400', 174, 85_938_606),
        ('base_ssv2', 174, 121_392_558),
        ('local_global_k400', 174, 121_392_558),
        ('axial_k400', 174, 156_846_510),
        ('space_k400', 400, 86_106_256),
        ('joint_k400', 400, 86_112_400),
        ('base_k400', 400, 121_566_352),
    ],
)
def test_a_model_has_as_many_parameters_as_in_table_1(name, classes, parameters):
    with torch.device('meta'):
        model = MODELS.build(load(name, **{'data.num_classes': classes}).model)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize('name', [name for name in NAMES if 'motion' not in name])
def test_the_recipe_is_the_papers(name):
    config = load(name)
    paper = dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=1e-4)
    assert config.optim_wrapper.optimizer == dict(paper, fused=True)
    assert (config.train_cfg.max_epochs, config.global_batch_size) == (15, 16)
    assert [(step.milestones, step.gamma) for step in config.param_scheduler] == [([11, 14], 0.1)]
    assert config.model.cls_head.average_clips == 'prob'


@pytest.mark.parametrize('name', [name for name in NAMES if 'motion' not in name])
def test_the_start_is_the_papers(name):
    start = load(name).model.backbone.init_cfg.checkpoint
    if 'rotary' in name:
        assert start is None  # no weights were published
        return
    data_set = name.rpartition('_')[2]
    starts = {'ssv2': 'vit_base_imagenet1k', 'diving48': 'vit_base_imagenet1k'}
    if data_set == 'howto100m':
        starts['howto100m'] = f'timesformer_{name}'.replace('howto100m', 'k400')
    assert start == starts.get(data_set, 'vit_base_imagenet21k')
    assert start in {model['Name'] for model in yaml.safe_load(MODEL_INDEX.read_text())['Models']}


@pytest.mark.parametrize('scheme', SCHEMES)
def test_a_tiny_model_of_every_scheme_learns_a_batch(scheme):
    config = load(f'{scheme}_k400', **TINY, start=None)
    model = MODELS.build(config.model)
    model.init_weights()
    labels = [3, 0, 4]
    batch = dict(
        inputs=[torch.randint(256, (1, 3, 4, 64, 64), dtype=torch.uint8) for _ in labels],
        data_samples=[ActionDataSample().set_gt_labels(label) for label in labels],
    )
    clips = torch.cat(batch['inputs']).float().sub(114.75).div(57.375)
    expected = F.cross_entropy(model.cls_head(model.backbone(clips)), torch.tensor(labels))
    starts = [parameter.clone() for parameter in model.parameters()]
    optimizer = build_optim_wrapper(model, config.optim_wrapper)
    losses = [model.train_step(batch, optimizer)['loss'] for _ in range(4)]
    torch.testing.assert_close(losses[0], expected.detach())
    assert losses == sorted(losses, reverse=True)
    assert not any(torch.equal(parameter, start) for parameter, start in zip(model.parameters(), starts))


@pytest.fixture(scope='module')
def video(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A video of 280 frames of 256 x 340: a real one where there is one, a slope of greys elsewhere."""
    if DEMO.is_file():
        return str(DEMO)
    slope = np.linspace(0, 255, 340).astype(np.uint8)[None, :, None].repeat(256, axis=0).repeat(3, axis=2)
    return write_video(tmp_path_factory.mktemp('video') / 'slope.mp4', [slope] * 280)


@cache
def clips_of(pipelines: str, video: str) -> tuple[dict[str, torch.Size], list[bool]]:
    """Shapes of what pipelines of three splits, as a literal, make of a video; and whether each view of the test is the
    first one of the validation."""
    clips = {}
    for split, transforms in ast.literal_eval(pipelines).items():
        sample = Compose(transforms)(dict(filename=video, label=0, modality='RGB', start_index=0, broken=[]))
        sample = sample[0] if split == 'train' else sample
        assert (sample['data_samples'].filename, sample['data_samples'].broken) == (video, [])
        assert sample['inputs'].dtype == torch.uint8
        clips[split] = sample['inputs']
    shapes = {split: clip.shape for split, clip in clips.items()}
    return shapes, [torch.equal(view, clips['val'][0]) for view in clips['test']]


@every_config
def test_every_pipeline_makes_clips_of_a_video(name, video):
    config, (num_frames, interval, size, _) = load(name), clip_of(name)
    pipelines = {split: config[f'{split}_dataloader'].dataset.pipeline for split in SPLITS}
    shapes, is_first = clips_of(repr(pipelines), video)  # many configs have the same
    views = math.ceil(280 / (num_frames * interval)) if 'howto100m' in name else 1
    crops = 1 if 'howto100m' in name or 'motion' in name else 3
    expected = dict(train=1, val=views, test=views * crops)
    assert shapes == {split: (number, 3, num_frames, size, size) for split, number in expected.items()}
    assert is_first[crops // 2]  # the crop in the middle
    assert (name.endswith('motion') or 'howto100m' in name) == is_first[0]


@pytest.mark.parametrize('name', ['base_k400', 'hr_ssv2', 'l_howto100m', 'tiny_motion'])
def test_an_option_changes_the_clip_everywhere(name):
    config = load(name, **{'clip.num_frames': 12, 'clip.size': 96})
    assert geometry_of(config) == {(12, 96)}
    assert [pipeline_of(config, split)['Resize'].scale for split in ('val', 'test')] == [(-1, 96)] * 2


def test_an_option_changes_the_data_everywhere():
    options = {'data.root': '/videos', 'data.num_classes': 7, 'data.sampling': 'segments', 'data.flip_ratio': 0.25}
    config = load('base_k400', **options)
    datasets = [config[f'{split}_dataloader'].dataset for split in SPLITS]
    assert [(dataset.data_root, dataset.num_classes) for dataset in datasets] == [('/videos', 7)] * 3
    assert ['SampleSegments' in pipeline_of(config, split) for split in SPLITS] == [True] * 3
    assert pipeline_of(config, 'train')['Flip'].flip_ratio == 0.25
    assert config.model.cls_head.num_classes == 7


@pytest.mark.parametrize(
    ('protocol', 'prefix', 'start', 'average_clips'),
    [('paper', '', 'middle', 'prob'), ('released', 'Released', 'first', 'score')],
)
def test_a_word_chooses_the_protocol(protocol, prefix, start, average_clips):
    config = load('base_k400', **{'protocol': protocol, 'views.num_clips': 10, 'views.num_crops': 1})
    common = dict(type=f'{prefix}SampleClips', num_frames=8, frame_interval=32)
    assert pipeline_of(config, 'train')[common['type']] == dict(common, start='random', num_clips=1)
    for split in ('val', 'test'):
        test = dict(common, start=start, num_clips=10, frame_order='forward')
        assert pipeline_of(config, split)[common['type']] == test
    assert pipeline_of(config, 'test')[f'{prefix}CropViews'].num_crops == 1
    assert config.model.cls_head.average_clips == average_clips


@pytest.mark.parametrize('name', NAMES)
def test_every_config_of_a_variant_has_its_checkpointing_and_batch(name):
    config, variant = load(name), name.split('_')[0]
    assert config.model.backbone.get('with_cp', False) == (variant == 'hr')
    expected = 32 if name == 'tiny_motion' else 2 if variant in ('hr', 'l') else 8
    assert config.train_dataloader.batch_size == expected


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (
            {'clip.num_frame': 4},
            "the option 'clip.num_frame' changes nothing: no value of this config refers to it; did you mean '",
        ),
        ({'clips.num_frames': 4}, "unknown config key 'clips'; did you mean 'clip'?"),
        ({'modle.backbone.num_layers': 2}, "unknown config key 'modle'; did you mean 'model'?"),
        ({'data.rot': '/v'}, "the option 'data.rot' changes nothing: no value of this config refers to it"),
        ({'views.num_crop': 1}, "the option 'views.num_crop' changes nothing: no value of this config refers to it"),
        (
            {'protocols.paper.strat': 'first'},
            "the option 'protocols.paper.strat' changes nothing: no value of this config refers to it",
        ),
        (
            {'cilp.num_frames': 4},
            "the option 'cilp.num_frames' changes nothing: no value of this config refers to it; did you mean 'clip'?",
        ),
        (
            {'xyz': 4},
            "the option 'xyz' changes nothing: no value of this config refers to it; known are 'batch_size', 'clip', ",
        ),
        (
            {'data.source': 'list', 'data.split_seed': 5},
            "the option 'data.split_seed' changes nothing: what refers to it is not in use; data.",
        ),
        (
            {'view': '10x3', 'views.num_clips': 1, 'views.num_crops': 1},
            "the option 'view' changes nothing: what refers to it is not in use",
        ),
    ],
)
def test_an_option_that_changes_nothing_is_named(options, words):
    with pytest.raises(ValueError, match=f'^{re.escape(words)}'):
        load('base_k400', **options)


def test_segments_have_no_distance_of_frames():
    with pytest.raises(ValueError, match="'clip.frame_interval' changes nothing: what refers to it is not in use"):
        load('base_ssv2', **{'clip.frame_interval': 5})


def test_options_of_a_resolved_config_are_its_values_themselves(tmp_path):
    load('tiny_motion').dump(tmp_path / 'dumped.py')
    words = "the option 'data.num_classes' changes nothing: values of this config refer to nothing; change them"
    with pytest.raises(ValueError, match=words):
        load_config(str(tmp_path / 'dumped.py'), {'data.num_classes': 3})
    assert load_config(str(tmp_path / 'dumped.py'), {'model.cls_head.num_classes': 3}).model.cls_head.num_classes == 3


def frames_of(name: str, video: str, **options) -> np.ndarray:
    """Indices of the frames of a test video, clip by clip."""
    config = load(name, **options)
    pipeline = Compose(config.test_dataloader.dataset.pipeline[:2])
    results = pipeline(dict(filename=video))
    return results['frame_inds'].reshape(-1, results['clip_len'])


@pytest.mark.parametrize('name', ['base_k400', 'base_ssv2', 'base_howto100m'])
def test_clips_of_every_sampling_can_be_reversed(name, video):
    clips = frames_of(name, video)
    assert (np.diff(clips) >= 0).all()
    assert clips[0, 0] < clips[0, -1]
    np.testing.assert_array_equal(frames_of(name, video, **{'views.frame_order': 'reversed'}), clips[:, ::-1])


@pytest.mark.parametrize('options', [{'view': '10x3'}, {'views.num_clips': 10}])
def test_a_number_of_clips_that_cover_a_video_is_refused(options, video):
    with pytest.raises(
        ValueError, match="num_clips is 10, but clips that cover a video .*; leave it at 1, as view='1x1'"
    ):
        frames_of('base_howto100m', video, **options)
    config = load('base_howto100m', view='1x3')
    assert pipeline_of(config, 'test')['CropViews'].num_crops == 3


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (
            {'load_from': '${clip.frames}'},
            "'${clip.frames}', but there is no 'frames' in it; did you mean 'num_frames'?",
        ),
        (
            {'load_from': '${nothing}'},
            "'${nothing}', but there is no 'nothing' in it; known are 'batch_size', 'clip', ",
        ),
        (
            {'protocol': 'relaesed'},
            "'${protocols.relaesed.to_rgb}', but there is no 'relaesed' in it; did you mean 'released'?",
        ),
        (
            {'data.sampling': 'segment'},
            "'${sampling.segment.train}', but there is no 'segment' in it; did you mean 'segments'?",
        ),
    ],
)
def test_a_reference_that_names_nothing_is_named(options, words):
    with pytest.raises(KeyError) as error:
        load('base_k400', **options)
    assert error.value.args[0].startswith(f'a config value refers to {words}')


def child_of(name: str, text: str, folder: Path) -> Config:
    """A config that inherits from the shipped one of this name and adds a text."""
    parent = CONFIGS[NAMES.index(name)]
    (folder / 'child.py').write_text(f'_base_ = {str(parent)!r}\n{text}\n')
    return load_config(str(folder / 'child.py'))


def test_one_line_of_a_child_config_changes_the_clip_everywhere(tmp_path):
    config = child_of('hr_k400', 'clip = dict(num_frames=32)', tmp_path)
    assert geometry_of(config) == {(32, 448)}
    assert config.model.backbone.with_cp


def test_a_child_config_may_bring_a_pipeline_of_its_own(tmp_path):
    own = "train_pipeline = [dict(type='OpenVideo'), dict(type='SampleSegments', clip_len='${clip.num_frames}')]"
    config = child_of('base_k400', own, tmp_path)
    assert config.train_dataloader.dataset.pipeline == [dict(type='OpenVideo'), dict(type='SampleSegments', clip_len=8)]


OURS = [
    (registry, name)
    for registry in (DATA_SAMPLERS, DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS)
    for name in sorted(registry.module_dict)
]


#: What is asked for before the others are looked at
ASKED = dict(
    TimeSformer=dict(attention=dict(type='JointAttention')),
    **{
        f'{scheme}Attention': dict(embed_dims=8, num_heads=2)
        for scheme in ('Axial', 'Divided', 'Joint', 'LocalGlobal', 'Space')
    },
    VideoListDataset=dict(ann_file='list.txt', pipeline=[], num_classes=2),
    VideoFolderDataset=dict(pipeline=[], split='train', num_classes=1, data_root='videos'),
    VideoShardsDataset=dict(pipeline=[], split='train', num_classes=1, data_root='shards'),
)


@pytest.mark.parametrize(('registry', 'name'), OURS, ids=[name for _, name in OURS])
def test_a_misspelt_key_is_named_by_what_is_built(registry: Registry, name, tmp_path, monkeypatch):
    (tmp_path / 'videos/one_class').mkdir(parents=True)
    (tmp_path / 'videos/one_class/video.mp4').touch()
    (tmp_path / 'shards').mkdir()
    shard = Shard('000000.tar', 2048, '0' * 64, [ShardVideo('000000000.mp4', 512, 1, [0], 'a.mp4')])
    (tmp_path / 'shards/index.jsonl').write_text(head_line(None, 1, 1) + shard.line())
    monkeypatch.chdir(tmp_path)
    if name == 'CheckpointHook':  # whose base takes all that the runner may: it is named before training starts
        return
    with pytest.raises(TypeError, match='num_framse|takes no arguments'):
        registry.build(dict(ASKED.get(name, {}), type=name, num_framse=8))


@pytest.mark.parametrize(
    ('registry', 'part', 'key'),
    [
        (MODELS, 'model.backbone', 'num_layer'),
        (MODELS, 'model.cls_head', 'num_class'),
        (MODELS, 'model.backbone.attention', 'head'),
        (DATASETS, 'sources.list.train', 'clases'),
        (TRANSFORMS, 'sampling.rate.train', 'num_clip'),
    ],
)
def test_a_misspelt_option_is_named_when_its_owner_is_built(registry, part, key):
    config = load('base_k400', **{f'{part}.{key}': 3})
    owner = dict(
        model=config.model,
        sources=config.train_dataloader.dataset,
        sampling=config.train_dataloader.dataset.pipeline[1],
    )[part.split('.')[0]]
    with torch.device('meta'), pytest.raises(TypeError, match=f"'{key}'"):
        registry.build(owner)


@pytest.mark.parametrize(
    ('name', 'value'), [('clip.num_frames', -1), ('clip.size', 0), ('clip.size', 'four'), ('clip.frame_interval', 2.5)]
)
def test_counts_are_whole_numbers_from_1_on(name, value):
    with pytest.raises(ValueError, match=f'^{name} is {value!r}, expected a whole number from 1 on'):
        load_config('mmtsf::timesformer_tiny_motion.py', {name: value})


def test_an_empty_config_has_no_model(tmp_path):
    (tmp_path / 'empty.py').touch()
    with pytest.raises(ValueError, match='empty.py is empty: it has no model'):
        load_config(tmp_path / 'empty.py')
