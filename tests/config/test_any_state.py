"""Whatever takes a config takes it in any state; a value has one place, and the others say so."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmtsf.config import load_config, read_config, resolve
from mmtsf.config.origins import origins

CONFIGS = Path(__file__).parents[2] / 'configs'
TINY = CONFIGS / 'timesformer_tiny_motion.py'
PAPER = CONFIGS / 'timesformer_base_k400.py'


def child_of(parent: Path, text: str, folder: Path) -> Config:
    """A config of a file that inherits from another, as MMEngine reads it."""
    (folder / 'child.py').write_text(f'_base_ = {str(parent)!r}\n{text}\n')
    return Config.fromfile(folder / 'child.py')


@pytest.mark.parametrize('path', [path for name in ('base', 'tiny') for path in sorted(CONFIGS.glob(f'*_{name}_*.py'))])
def test_what_mmengine_reads_is_resolved_as_what_we_read_and_stays_so(path):
    resolved = resolve(Config.fromfile(path))
    assert resolved.to_dict() == load_config(path).to_dict()
    assert resolve(resolved).to_dict() == resolved.to_dict()
    assert '${' not in str(resolved.to_dict())


def test_a_resolved_config_has_the_pipelines_where_mmaction_looks_for_them():
    config = load_config(TINY)
    for split in ('train', 'val', 'test'):
        scope = dict(_scope_='mmtsf') if split == 'test' else {}
        pipeline = [dict(transform, **scope) for transform in config[f'{split}_dataloader'].dataset.pipeline]
        assert config[f'{split}_pipeline'] == pipeline


def test_a_config_that_was_dumped_with_its_references_takes_the_same_words(tmp_path):
    Config.fromfile(TINY).dump(tmp_path / 'left.py')
    options = {'view': '10x3', 'data.root': '/videos', 'clip.num_frames': 4}
    assert load_config(tmp_path / 'left.py', options).to_dict() == load_config(TINY, options).to_dict()
    for recipe in ('modern', 'linear_probe'):
        options = {'recipe': recipe, 'model.backbone.num_layers': 2, 'training.label_smoothing': 0.3}
        left, given = load_config(tmp_path / 'left.py', options), load_config(TINY, options)
        assert left.to_dict() == given.to_dict()
    read_config(TINY, {'recipe': 'modern', 'lr': 0.7}).dump(tmp_path / 'modern.py')
    left, given = (load_config(path, {'recipe': 'small', 'lr': 0.7}) for path in (tmp_path / 'modern.py', TINY))
    assert left.to_dict() == given.to_dict()
    (tmp_path / 'own.py').write_text((tmp_path / 'modern.py').read_text().replace('AdamW', 'Lion') + OWN)
    with pytest.raises(ValueError, match='recipe=small cannot take the place of the recipe in .*own.py, which is none'):
        load_config(tmp_path / 'own.py', {'recipe': 'small'})


#: What makes a recipe none of the shipped ones
OWN = """
max_epochs, global_batch_size = 7, 9
param_scheduler = [dict(type='ConstantLR', factor=1)]
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Lion', lr='${lr}'))
training = dict(training, augmentation='plain', clips_per_video=1, ema=None, blending=None)
"""


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('model = dict(backbone=dict(num_frames=16))', r'model.backbone.num_frames is 16, .* set clip.num_frames=16'),
        ('model = dict(cls_head=dict(num_classes=2))', r'cls_head.num_classes is 2, .*, which is 4; set data.num_cl'),
        (
            'optim_wrapper = dict(optimizer=dict(lr=1e-5))',
            r'lr is 1e-05, .* lr, which is 0.002; set lr=1e-05',
        ),
        ('train_cfg = dict(max_epochs=3)', r'train_cfg.max_epochs is 3, .*, which is 25; set max_epochs=3 instead'),
        (
            'train_dataloader = dict(dataset=dict(num_classes=7))',
            r'num_classes is 7, .* set data.num_classes=7',
        ),
    ],
)
def test_a_literal_where_others_follow_a_table_is_named(text, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        resolve(child_of(TINY, text, tmp_path))
    option, _, value = text.replace(' = dict(', '.').replace('=dict(', '.').rstrip(')').rpartition('=')
    config = Config.fromfile(TINY)
    config.merge_from_dict({option: float(value) if '.' in value or 'e' in value else int(value)})
    with pytest.raises(ValueError, match=words):
        resolve(config)


def test_a_literal_that_nothing_else_follows_takes_effect(tmp_path):
    text = """
data = dict(source='folder')
model = dict(cls_head=dict(average_clips='score', num_classes=4))
train_cfg = dict(val_interval=2)
train_dataloader = dict(dataset=dict(split='val'))
"""
    config = resolve(child_of(TINY, text, tmp_path))
    assert (config.model.cls_head.average_clips, config.model.cls_head.num_classes) == ('score', 4)
    assert config.train_cfg.val_interval == 2
    assert (config.train_dataloader.dataset.split, config.val_dataloader.dataset.split) == ('val', 'val')
    paper = resolve(child_of(PAPER, 'optim_wrapper = dict(optimizer=dict(lr=1e-5))', tmp_path))
    assert paper.optim_wrapper.optimizer.lr == 1e-5


def test_an_argument_of_a_data_set_that_a_word_chooses_may_be_set_beside_the_word(tmp_path):
    text = "data = dict(source='list')\ntrain_dataloader = dict(dataset=dict(ann_file='mine.txt'))"
    config = resolve(child_of(TINY, text, tmp_path))
    assert config.train_dataloader.dataset.ann_file == 'mine.txt'
    assert config.train_dataloader.dataset.data_root == 'data/motion'
    assert config.val_dataloader.dataset.ann_file == 'val_list.txt'


@pytest.mark.parametrize('text', ['data = dict(rot=1)', 'clip = dict(colour=3)', 'training = dict(label_smoothin=0.1)'])
def test_a_key_of_a_table_that_nothing_refers_to_is_named(text, tmp_path):
    with pytest.raises(ValueError, match="unknown config key '(data|clip|training).*': nothing refers to it; "):
        resolve(child_of(TINY, text, tmp_path))


def test_a_config_of_no_file_is_resolved_and_one_that_has_no_use_for_a_table_as_well(tmp_path):
    config = Config.fromfile(TINY)
    assert resolve(Config(config.to_dict())).to_dict() == resolve(config).to_dict()
    text = "model = dict(backbone=dict(_delete_=True, type='mmaction.C3D'))"
    with pytest.raises(KeyError, match="there is no 'embed_dims' in it.* it stands at model.cls_head.in_channels"):
        resolve(child_of(TINY, text, tmp_path))
    text += "\nmodel['cls_head'] = dict(in_channels=4096)\nval_pipeline = test_pipeline = []"
    child = child_of(TINY, text, tmp_path)
    child.dump(tmp_path / 'left.py')
    assert resolve(Config.fromfile(tmp_path / 'left.py')).model == resolve(child).model


def test_a_config_is_resolved_wherever_its_file_is_by_now(tmp_path, monkeypatch):
    monkeypatch.chdir(CONFIGS)
    config = Config.fromfile(TINY.name)
    monkeypatch.chdir(tmp_path)
    assert resolve(config).to_dict() == load_config(TINY).to_dict()


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('child.yaml', '_base_: {}\nlr: {{{{_base_.lr}}}}'),
        ('child.json', '{{"_base_": "{}", "lr": {{{{_base_.lr}}}}}}'),
    ],
)
def test_a_config_of_any_kind_may_take_a_value_of_its_base(name, text, tmp_path):
    (tmp_path / name).write_text(text.format(TINY))
    assert load_config(tmp_path / name).to_dict() == load_config(TINY).to_dict()


def test_a_second_place_is_named_where_no_file_tells_of_the_first():
    config = Config(Config.fromfile(TINY).to_dict())
    config.model.backbone.num_frames = 16
    with pytest.raises(ValueError, match='model.backbone.num_frames is 16, .* set clip.num_frames=16'):
        resolve(config)


@pytest.mark.parametrize(
    ('option', 'words'),
    [
        ('val_pipeline.4.size', 'val_pipeline.4.size is 32, .* set clip.size=32'),
        (
            'train_pipeline.1.num_frames',
            r"leads through train_pipeline.1='\$\{sampling.*', a reference; change",
        ),
        ('test_dataloader.dataset.pipeline.99.size', "pipeline is a list of 7 and has no item '99'"),
    ],
)
def test_options_within_lists_take_effect_or_are_named(option, words):
    with pytest.raises(ValueError, match=words):
        load_config(TINY, {option: 32})
    config = load_config(TINY, {'test_dataloader.dataset.pipeline.1.num_clips': 10})
    assert config.test_dataloader.dataset.pipeline[1].num_clips == 10
    assert len(config.test_dataloader.dataset.pipeline) == 7


def test_a_backbone_or_head_may_be_replaced(tmp_path):
    text = """
model = dict(
    backbone=dict(_delete_=True, type='mmaction.C3D', style='pytorch'),
    cls_head=dict(_delete_=True, type='mmaction.I3DHead', num_classes='${data.num_classes}', in_channels=4096),
)
"""
    config = resolve(child_of(TINY, text, tmp_path))
    assert config.model.backbone == dict(type='mmaction.C3D', style='pytorch')
    assert config.model.cls_head == dict(type='mmaction.I3DHead', num_classes=4, in_channels=4096)


def test_a_dict_may_begin_as_another_one(tmp_path):
    text = """
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type='RepeatDataset', times=2, dataset=dict(_use_='${sources.${data.source}.train}', split='val')
    )
)
"""
    plain = resolve(Config.fromfile(TINY)).train_dataloader.dataset
    dataset = resolve(child_of(TINY, text, tmp_path)).train_dataloader.dataset
    assert dataset == dict(type='RepeatDataset', times=2, dataset=dict(plain, split='val'))


@pytest.mark.parametrize(
    ('key', 'successor'),
    [
        ("optimizer = dict(type='SGD', lr=0.5)", 'optim_wrapper.optimizer'),
        ('total_epochs = 5', 'max_epochs'),
        ("resume_from = 'x.pth'", '--resume CHECKPOINT'),
        ("lr_config = dict(policy='step')", 'param_scheduler'),
        ("fp16 = dict(loss_scale='dynamic')", '--amp'),
        ('data = dict(videos_per_gpu=2)', 'train_dataloader.batch_size'),
        ('log_config = dict(interval=2)', 'default_hooks.logger'),
    ],
)
def test_keys_of_older_configs_are_named_with_their_successor(key, successor, tmp_path):
    name = key.replace(' = dict(', '.').split('=')[0].strip() if key.startswith('data') else key.split(' ')[0]
    with pytest.raises(ValueError, match=f'keys of an older version, which nothing reads: {name} is now .*{successor}'):
        resolve(child_of(TINY, key, tmp_path))


def test_every_value_tells_its_origin(tmp_path, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    config = child_of(TINY, 'clip = dict(frame_interval=5)', tmp_path)
    config.merge_from_dict({'clip.num_frames': 4})
    found = {name: (value, place, origin) for name, value, place, origin in origins(config, ['clip.num_frames'])}
    resolved = resolve(config)
    assert found['model.backbone.num_frames'] == (4, 'clip.num_frames', 'option clip.num_frames')
    sampling = 'train_dataloader.dataset.pipeline.1.frame_interval'
    assert found[sampling] == (5, 'clip.frame_interval', str(tmp_path / 'child.py'))
    assert found['model.backbone.patch_size'][1:] == (
        'model.backbone.patch_size',
        'configs/timesformer_tiny_motion.py',
    )
    smoothing = found['model.cls_head.label_smooth_eps']
    assert smoothing == (0.0, 'training.label_smoothing', 'configs/_base_/schedules/words.py')
    assert found['model.data_preprocessor.mean'][0] == resolved.model.data_preprocessor.mean
    assert all(origin for _, _, origin in found.values())
