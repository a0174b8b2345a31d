"""Ways to train, over any config by a word."""

import os
import re
from pathlib import Path

import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from runs import TINY, options, run_tool
from test_references import CONFIGS
from torch.optim import SGD, AdamW
from videos import write_greys

from mmtsf.config import load_config, resolve
from mmtsf.config.recipes import recipe_names
from mmtsf.registry import HOOKS, MODELS, PARAM_SCHEDULERS
from mmtsf.utils.arguments import parsed

SMALL = {'model.backbone.num_layers': 2, 'data.num_classes': 5, 'start': None}
RECIPES = sorted(recipe_names())
#: Optimizer, rate, global batch and epochs of each
EXPECTED = {
    'paper': (SGD, 0.005, 16, 15),
    'released': (SGD, 0.005, 64, 15),
    'scratch': (AdamW, 2e-3, 32, 25),
    'modern': (AdamW, 1.25e-4, 64, 30),
    'small': (AdamW, 2.5e-4, 16, 30),
    'linear_probe': (AdamW, 1e-3, 32, 30),
    'lora': (AdamW, 1e-3, 16, 30),
    'frozen_time': (AdamW, 5e-4, 16, 30),
    'attentive_probe': (AdamW, 1e-3, 32, 30),
}


def sample_of(split: str, config: Config, video: str) -> dict | list[dict]:
    """What a split's pipeline makes of a video."""
    given = dict(filename=video, label=1, modality='RGB', start_index=0, broken=[])
    return Compose(config[f'{split}_dataloader'].dataset.pipeline)(given)


def child_of(parent: str | Path, text: str, folder: Path, name: str = 'child.py') -> Path:
    (folder / name).write_text(f'_base_ = {str(parent)!r}\n{text}\n')
    return folder / name


@pytest.mark.parametrize('recipe', RECIPES)
def test_shipped_configs_build_with_every_recipe(recipe: str) -> None:
    """Each with a sixth of them, and each of them with one or two."""
    optimizer, rate, batch, epochs = EXPECTED[recipe]
    for path in CONFIGS[RECIPES.index(recipe) % 6 :: 6]:
        config = load_config(str(path), dict(recipe=recipe, **SMALL))
        if recipe == 'frozen_time' and config.model.backbone.attention.type in ('JointAttention', 'SpaceAttention'):
            continue  # refused
        with torch.device('meta'):
            model = MODELS.build(config.model)
        wrapper = build_optim_wrapper(model, config.optim_wrapper)
        Compose(config.train_dataloader.dataset.pipeline)
        schedules = config.param_scheduler
        for schedule in schedules if isinstance(schedules, list) else [schedules]:
            PARAM_SCHEDULERS.build(dict(schedule), default_args=dict(optimizer=wrapper, epoch_length=10))
        for hook in config.default_hooks.values():
            HOOKS.build(dict(hook))
        assert type(wrapper.optimizer) is optimizer
        assert config.optim_wrapper.optimizer.lr == rate
        assert (config.global_batch_size, config.train_cfg.max_epochs) == (batch, epochs)
        assert config.auto_scale_lr == dict(enable=False, base_batch_size=batch)
        assert model.cls_head.fc_cls.out_features == 5
        assert not {'recipe', 'lr', 'max_epochs'} & set(config) or recipe in ('paper', 'released')


def test_the_released_recipe_is_the_papers_with_nesterov_batch_64_and_its_own_protocol() -> None:
    paper, released = (load_config('configs/timesformer_base_k400.py', dict(recipe=r)) for r in ('paper', 'released'))
    assert paper.to_dict() == load_config('configs/timesformer_base_k400.py').to_dict()
    assert released.optim_wrapper.optimizer == dict(paper.optim_wrapper.optimizer, nesterov=True)
    assert released.param_scheduler == paper.param_scheduler
    assert released.model.cls_head.average_clips == 'score'


def test_the_modern_rate_warms_up_and_falls_to_nothing_in_every_layer() -> None:
    config = load_config(TINY, dict(recipe='modern', **SMALL))
    with torch.device('meta'):
        wrapper = build_optim_wrapper(MODELS.build(config.model), config.optim_wrapper)
    defaults = dict(optimizer=wrapper, epoch_length=10)
    schedules = [PARAM_SCHEDULERS.build(dict(one), default_args=defaults) for one in config.param_scheduler]
    full = [group['initial_lr'] for group in wrapper.optimizer.param_groups]
    shares = []
    for _ in range(300):
        rates = [group['lr'] / start for group, start in zip(wrapper.optimizer.param_groups, full)]
        assert max(rates) - min(rates) < 1e-9
        shares.append(rates[0])
        for schedule in schedules:
            schedule.step()
    assert shares[0] == pytest.approx(0.01)
    assert shares[:50] == sorted(shares[:50])
    assert shares[50:] == sorted(shares[50:], reverse=True)
    assert max(shares) > 0.9
    assert shares[-1] < 1e-3


@pytest.mark.parametrize('several', [False, True], ids=['one_label', 'several_labels'])
@pytest.mark.parametrize('recipe', RECIPES)
def test_every_recipe_learns_from_a_video(recipe: str, several: bool, tmp_path) -> None:
    config = load_config(TINY, {'recipe': recipe, 'data.multi_class': several, **SMALL})
    samples = sample_of('train', config, write_greys(tmp_path / 'greys.mp4', 40))
    assert len(samples) == (2 if recipe in ('modern', 'small') else 1)
    label = torch.tensor([1.0, 0, 0, 1, 0]) if several else torch.tensor([1])
    batch = dict(
        inputs=[sample['inputs'] for sample in samples],
        data_samples=[ActionDataSample().set_gt_labels(label.clone()) for _ in samples],
    )
    assert {clip.shape for clip in batch['inputs']} == {(1, 3, 8, 48, 48)}
    assert {clip.dtype for clip in batch['inputs']} == {torch.float32 if recipe == 'released' else torch.uint8}
    model = MODELS.build(config.model)
    model.init_weights()
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    losses = [float(model.train().train_step(batch, wrapper)['loss']) for _ in range(2)]
    assert all(loss > 0 for loss in losses)


def test_options_win_over_a_recipe() -> None:
    changes = {'lr': 3e-4, 'max_epochs': 7, 'data.clips_per_video': 1, 'model.cls_head.label_smooth_eps': 0.2}
    config = load_config(TINY, dict(recipe='modern', **changes))
    assert config.optim_wrapper.optimizer.lr == 3e-4
    assert (config.train_cfg.max_epochs, config.param_scheduler[1].end) == (7, 7)
    assert config.train_dataloader.dataset.pipeline[1].num_clips == 1
    assert config.model.cls_head.label_smooth_eps == 0.2


def test_dotted_words_below_none_make_a_dict() -> None:
    dotted = {'recipe': 'lora', 'training.ema.type': 'EMAHook', 'training.ema.momentum': 0.1}
    for words in (dotted, {'recipe': 'lora', 'training.ema': None, **dotted}):
        assert load_config(TINY, words).default_hooks.ema == dict(type='EMAHook', momentum=0.1)
    whole = {'recipe': 'lora', 'training.ema': dict(type='EMAHook', momentum=0.1)}
    assert load_config(TINY, whole).default_hooks.ema == dict(type='EMAHook', momentum=0.1)
    with pytest.raises(ValueError, match=r"'lr.x' leads through lr=0.001, which holds no other values"):
        load_config(TINY, {'recipe': 'lora', 'lr.x': 1})


@pytest.mark.parametrize(
    ('word', 'said'),
    [
        ("training.ema=dict(type='EMAHook',momentum=0.1)", 'training.ema.KEY=VALUE'),
        ('training.ema={"type":"EMAHook","momentum":0.1}', 'training.ema.KEY=VALUE'),
        ('custom_hooks=[{type:EMAHook}]', 'or write it in a config file'),
        ('data.root=a(1,2)', 'data.root is a(1,2), which is no value; expected'),
        ('clip.size=[1,2', 'expected a word, a number, or a list'),
    ],
)
def test_a_word_that_is_no_value_is_named(word: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parsed([word])


def test_words_that_are_values_are_parsed_as_ever() -> None:
    words = ['a=[(1,2),b]', 'tmpl={:05}.jpg', 'b=1e-3', 'c=x=y', 'd=None', 'a.b=dict', 'b=2']
    expected = {'a': [(1, 2), 'b'], 'tmpl': '{:05}.jpg', 'b': 2, 'c': 'x=y', 'd': None, 'a.b': 'dict'}
    assert parsed(words) == expected


def test_a_config_file_that_names_a_recipe_wins_over_it_and_so_do_its_heirs(tmp_path) -> None:
    parent = child_of(Path(TINY).resolve(), "recipe = 'modern'\nlr = 3e-4\nmax_epochs = 7", tmp_path, 'parent.py')
    child = child_of(parent, 'max_epochs = 8', tmp_path)
    config = load_config(str(child))
    assert config.optim_wrapper.optimizer.type == 'AdamW'
    assert (config.optim_wrapper.optimizer.lr, config.train_cfg.max_epochs) == (3e-4, 8)
    assert config.model.data_preprocessor.blending.type == 'RandomBlending'
    assert load_config(str(child), dict(recipe='paper')).optim_wrapper.optimizer.type == 'SGD'


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('child.py', "_base_ = '{}'\nrecipe = 'modern'\nclip = _base_.clip\nclip.update(size=112)\nlr = 3e-4"),
        ('child.yaml', '_base_: {}\nrecipe: modern\nclip:\n  size: 112\nlr: 3.0e-4'),
        ('child.json', '{{"_base_": "{}", "recipe": "modern", "clip": {{"size": 112}}, "lr": 3e-4}}'),
    ],
)
def test_a_config_file_of_any_kind_may_name_a_recipe(name: str, text: str, tmp_path) -> None:
    (tmp_path / name).write_text(text.format(Path(TINY).resolve()))
    config = load_config(str(tmp_path / name))
    assert config.model.backbone.img_size == 112
    assert (config.optim_wrapper.optimizer.lr, config.train_cfg.max_epochs) == (3e-4, 30)
    assert config.model.data_preprocessor.blending.type == 'RandomBlending'
    heir = load_config(str(child_of(tmp_path / name, "recipe = 'small'", tmp_path, 'heir.py')))
    assert (heir.optim_wrapper.optimizer.lr, heir.model.data_preprocessor.blending) == (3e-4, None)
    assert heir.to_dict() == load_config(str(tmp_path / name), dict(recipe='small')).to_dict()
    assert load_config(str(tmp_path / name), dict(recipe=None)).optim_wrapper.optimizer.lr == 3e-4


def test_a_recipe_is_refused_where_no_base_has_a_place_for_it(tmp_path) -> None:
    load_config(TINY).dump(tmp_path / 'dumped.py')
    words = 'recipe=modern has no place in .*dumped.py: none of the files .* give the one that the run was started with'
    with pytest.raises(ValueError, match=words):
        load_config(str(tmp_path / 'dumped.py'), dict(recipe='modern'))
    child = child_of(tmp_path / 'dumped.py', "recipe = 'modern'", tmp_path)
    with pytest.raises(ValueError, match=words.replace('dumped', 'child')):
        load_config(str(child))


def test_a_recipe_that_was_not_read_is_named(tmp_path) -> None:
    child = child_of(Path(TINY).resolve(), "recipe = 'modern'", tmp_path)
    with pytest.raises(ValueError, match="recipe='modern' was not read: .* call mmtsf.config.load_config"):
        resolve(Config.fromfile(child))


def test_a_recipe_leaves_what_it_does_not_own(tmp_path) -> None:
    text = "custom_hooks = [dict(type='EmptyCacheHook')]\ndata = dict(flip_ratio=0.25)"
    child = child_of(Path(TINY).resolve(), text, tmp_path)
    config = load_config(str(child), dict(recipe='modern'))
    assert config.custom_hooks == [dict(type='EmptyCacheHook')]
    assert config.default_hooks.ema.type == 'EMAHook'
    assert config.train_dataloader.dataset.pipeline[3].transforms[2].flip_ratio == 0.25
    assert 'ema' not in load_config(str(child)).default_hooks


def test_reading_a_recipe_changes_nothing_for_others(tmp_path) -> None:
    merge, environment = Config._merge_a_into_b, dict(os.environ)
    load_config(TINY, dict(recipe='modern'))
    assert Config._merge_a_into_b is merge
    assert dict(os.environ) == environment
    assert Config.fromfile(TINY).optim_wrapper.optimizer.weight_decay == 0.05
    assert 'constructor' not in Config.fromfile(TINY).optim_wrapper


def test_a_recipe_may_be_chosen_by_the_environment(monkeypatch) -> None:
    monkeypatch.setenv('MMTSF_RECIPE', str(recipe_names()['modern']))
    config = resolve(Config.fromfile(TINY))
    monkeypatch.delenv('MMTSF_RECIPE')
    assert config.to_dict() == load_config(TINY, dict(recipe='modern')).to_dict()


@pytest.mark.parametrize('chosen', ['modern', 'mine.py'])
def test_the_environment_names_a_recipe_as_the_option_does(chosen, monkeypatch, tmp_path) -> None:
    child_of(recipe_names()['modern'], 'lr = 3e-4', tmp_path, 'mine.py')
    tiny = str(Path(TINY).resolve())
    monkeypatch.chdir(tmp_path)
    expected = load_config(tiny, dict(recipe=chosen)).to_dict()
    monkeypatch.setenv('MMTSF_RECIPE', chosen)
    assert load_config(tiny).to_dict() == expected


def test_a_recipe_with_some_of_the_words_has_the_usual_others(tmp_path) -> None:
    own = "training = dict(label_smoothing=0.3)\noptim_wrapper = dict(optimizer=dict(type='SGD'))\nmax_epochs = 2"
    (tmp_path / 'own.py').write_text(own)
    head = load_config(TINY, dict(recipe=str(tmp_path / 'own.py'))).model.cls_head
    assert (head.type, head.label_smooth_eps) == ('TimeSformerHead', 0.3)


def test_a_schedule_of_ones_own_has_the_usual_words(tmp_path) -> None:
    root = Path(TINY).resolve().parent / '_base_'
    bases = [str(root / name) for name in ('models/timesformer.py', 'datasets/k400.py', 'clips/8x32_224.py')]
    text = f'_base_ = {[*bases, str(root / "default_runtime.py")]}\nmax_epochs = 3\n'
    (tmp_path / 'own.py').write_text(text + "optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))\n")
    config = resolve(Config.fromfile(tmp_path / 'own.py'))
    assert (config.model.cls_head.type, config.model.frozen) == ('TimeSformerHead', False)
    assert config.train_dataloader.dataset.pipeline[1].num_clips == 1


@pytest.mark.parametrize('recipe', RECIPES)
def test_every_recipe_has_its_rate_in_one_word(recipe: str) -> None:
    assert load_config(TINY, dict(recipe=recipe, lr=3e-4)).optim_wrapper.optimizer.lr == 3e-4


def test_a_recipe_may_be_a_file(tmp_path) -> None:
    own = child_of(Path('configs/_base_/schedules/modern.py').resolve(), 'lr = 3e-4', tmp_path, 'own.py')
    config = load_config(TINY, dict(recipe=str(own)))
    assert (config.optim_wrapper.optimizer.type, config.optim_wrapper.optimizer.lr) == ('AdamW', 3e-4)


@pytest.mark.parametrize(
    ('recipe', 'words'),
    [
        ('modren', "there is no recipe 'modren'; did you mean 'modern'?"),
        (
            'xyz',
            "there is no recipe 'xyz'; known are attentive_probe, frozen_time, linear_probe, lora, modern, paper, ",
        ),
        ('none.py', 'the config none.py does not exist'),
    ],
)
def test_an_unknown_recipe_is_named(recipe: str, words: str) -> None:
    with pytest.raises(FileNotFoundError, match=words.replace('?', r'\?')):
        load_config(TINY, dict(recipe=recipe))


@pytest.mark.parametrize(('view', 'views'), [('1x1', 1), ('1x3', 3), ('5x1', 5), ('10x3', 30)])
def test_a_word_chooses_the_views(view: str, views: int, tmp_path) -> None:
    config = load_config(TINY, dict(view=view))
    sample = sample_of('test', config, write_greys(tmp_path / 'greys.mp4', 40))
    assert sample['inputs'].shape == (views, 3, 8, 48, 48)


@pytest.mark.parametrize(
    ('changes', 'views'),
    [
        ({'views.num_clips': 2}, 2),
        ({'views.num_crops': 2, 'view': '10x3'}, 20),
        ({'views.num_clips': 2, 'view': '1x3'}, 6),
    ],
)
def test_numbers_of_views_win_over_the_word(changes: dict, views: int, tmp_path) -> None:
    sample = sample_of('test', load_config(TINY, changes), write_greys(tmp_path / 'greys.mp4', 40))
    assert len(sample['inputs']) == views


def test_unknown_views_are_named() -> None:
    with pytest.raises(KeyError, match="there is no '5x3' in it; did you mean"):
        load_config(TINY, dict(view='5x3'))


@pytest.mark.long
def test_averaged_weights_are_tested_as_they_were_validated(motion, tmp_path) -> None:
    words = options(motion, recipe='modern', max_epochs=1)
    run_tool('tools/train.py', TINY, '--work-dir', tmp_path, *words)
    log = run_tool('tools/test.py', TINY, tmp_path / 'epoch_1.pth', '--work-dir', tmp_path / 'test', *words)
    assert 'videos: 12 expected, 12 found, 12 scored' in log
