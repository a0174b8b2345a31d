"""What a search says: words of a config and their values."""

import pytest
from runs import TINY

from mmtsf.config import load_config
from mmtsf.sweep.check_space import check_space, child_config
from mmtsf.sweep.space import Dimension, parse_space


@pytest.mark.parametrize(
    ('word', 'found'),
    [
        ('lr=log:1e-5:1e-3', Dimension('lr', (), 1e-5, 1e-3, None, True)),
        ('a.b=1:8', Dimension('a.b', (), 1, 8)),
        ('a=1:8.5', Dimension('a', (), 1.0, 8.5)),
        ('a=8:32:8', Dimension('a', (), 8, 32, 8)),
        ('a=log:1:64', Dimension('a', (), 1, 64, None, True)),
        ('recipe=paper,modern', Dimension('recipe', ('paper', 'modern'))),
        ('a=[1,2],[3,4]', Dimension('a', ('[1,2]', '[3,4]'))),
        ('a=s3://x/1,s3://x/2', Dimension('a', ('s3://x/1', 's3://x/2'))),
    ],
)
def test_words_are_data(word, found):
    (dimension,) = parse_space([word])
    assert dimension == found
    assert type(dimension.low) is type(found.low)
    assert parse_space([str(dimension)]) == (dimension,)


@pytest.mark.parametrize(
    'words',
    [
        ['lr'],
        ['lr=5'],
        ['lr='],
        ['lr=1:'],
        ['lr=2:1'],
        ['lr=log:0:1'],
        ['lr=log:1:2:1'],
        ['lr=1:2:3:4'],
        ['lr=0:nan'],
        ['lr=0:1e400'],
        ['lr=a:b'],
        ['lr=a,a'],
        ['lr=1e-3,0.001'],
        ['lr=a,,b'],
        ['a b=1:2'],
        ['__import__("os")=1:2'],
        ['lr=1:2', 'lr=3:4'],
        ['a=1,2', 'a.b=1,2'],
        [],
    ],
)
def test_other_words_are_refused(words):
    with pytest.raises(ValueError, match='--search has .*'):
        parse_space(words)


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (['lrr=0.1:0.2'], 'lrr'),
        (['clip.num_framess=4,8'], 'clip.num_framess'),
        (['model.backbone.drop_path_ratee=0:0.3'], 'model.backbone.drop_path_ratee, and .* has no such word'),
        (['optim_wrapper.optimizer.lrr=0:0.3'], 'optim_wrapper.optimizer.lrr'),
        (['recipe=paper,papre'], "no recipe 'papre'; did you mean"),
        (['recipe=1:2'], 'expected names of recipes'),
        (['log_to=files,wandbx'], "with log_to=wandbx: log_to names 'wandbx'; did you mean 'wandb'"),
        (['model.type=VideoRecognizer,Recogniser'], "there is nothing of type 'Recogniser'"),
        (['optim_wrapper.optimizer.type=AdamW,AdamWW'], "there is nothing of type 'AdamWW'"),
        (['model.backbone.num_heads=2,3'], 'with model.backbone.num_heads=3: .*embed_dims'),
        (['data.root=none,nowhere'], "data.root is 'none', which is no folder"),
    ],
)
def test_a_word_that_no_config_has_is_refused_before_the_first_trial(words, told, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        check_space(TINY, ['max_epochs=2'], parse_space(words), tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_would_not_be_validated_is_refused_before_the_first_trial(tmp_path):
    with pytest.raises(ValueError, match='with max_epochs=1: nothing would be validated: .*, train_cfg.val_begin 2'):
        check_space(TINY, ['train_cfg.val_begin=2'], parse_space(['max_epochs=2,1']), tmp_path)
    with pytest.raises(ValueError, match='--metric is acc/top11, which no validation gives; expected one of acc/top1'):
        check_space(TINY, ['max_epochs=2'], parse_space(['lr=1:2']), tmp_path, 'acc/top11')


def test_the_best_config_says_what_the_words_said(tmp_path):
    space = parse_space(['recipe=modern,paper', 'model.backbone.norm_eps=log:1e-6:1e-3', 'lr=log:1e-5:1e-3'])
    values = check_space(TINY, ['max_epochs=2', 'data.root=/videos'], space, tmp_path)
    assert values['model']['backbone']['norm_eps'] == 1e-6
    words = ['recipe=modern', 'lr=1e-05', 'model.backbone.norm_eps=1e-06', 'max_epochs=2', 'data.root=/videos']
    (tmp_path / 'best.py').write_text(child_config(TINY, words))
    assert load_config(tmp_path / 'best.py').to_dict() == values
