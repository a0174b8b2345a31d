"""Words for unequal classes reach the sampler and the loss of a training, and what makes no sense is refused."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmaction.models.losses import BCELossWithLogits, CrossEntropyLoss
from mmengine.logging import MMLogger
from runs import ROOT, TINY

from mmtsf.config import load_config
from mmtsf.datasets.loading import SeededSampler
from mmtsf.engine.hooks import UnequalClassesHook
from mmtsf.engine.runner import Runner
from mmtsf.models import FocalLoss, LogitAdjustedLoss, TimeSformerHead

LABELS = [[0]] * 8 + [[1]] * 2


@pytest.fixture(scope='module')
def data(motion, tmp_path_factory) -> dict[str, Any]:
    """Options for six videos of a class and two of another, for a model that takes no time."""
    folder = tmp_path_factory.mktemp('unequal')
    first, second = sorted(path for path in Path(motion, 'train').iterdir())[:2]
    videos = [(path, 0) for path in sorted(first.iterdir())[:6]] + [(path, 1) for path in sorted(second.iterdir())[:2]]
    (folder / 'list.txt').write_text(''.join(f'{path} {label}\n' for path, label in videos))
    lists = {f'data.{name}_list': str(folder / 'list.txt') for name in ('train', 'val')}
    options = {'data.source': 'list', 'data.root': str(motion), 'data.num_classes': 2, **lists}
    loaders = {f'{name}_dataloader.num_workers': 0 for name in ('train', 'val')}
    small = {'max_epochs': 2, 'global_batch_size': 2, 'train_dataloader.batch_size': 2, 'model.backbone.num_layers': 1}
    return options | loaders | small


def trained(data: dict, work_dir: Path, resume: bool = False, **changes: Any) -> Runner:
    """The runner of a training to its end."""
    config = load_config(str(ROOT / TINY), data | changes)
    config.work_dir, config.log_level, config.resume = str(work_dir), 'WARNING', resume
    config.default_hooks.checkpoint.update(interval=10, iterations=5, save_best=None, save_last=False)
    config.experiment_name = f'{work_dir.name}{resume}'
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


def test_a_balanced_training_is_resumed_within_an_epoch_bit_for_bit(data, tmp_path):
    words = {'training.balance': 1, 'training.focal': 2, 'training.label_smoothing': 0.1}
    runner = trained(data, tmp_path / 'whole', **words)
    head = runner.model.cls_head
    assert runner.train_dataloader.sampler.draws.quotas.tolist() == [4, 4]
    assert isinstance(head.loss_cls, FocalLoss)
    assert not [key for key in runner.model.state_dict() if 'loss' in key]
    (tmp_path / 'part').mkdir()
    (tmp_path / 'whole/iter_5.pth').rename(tmp_path / 'part/iter_5.pth')
    again = trained(data, tmp_path / 'part', resume=True, **words)
    assert again.iter == runner.iter == 8
    for key, value in runner.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key]), key


def loss_of(words: dict, multi_class: bool = False, **head: Any) -> Any:
    """The loss that a head of three classes has after the words are applied."""
    hook = UnequalClassesHook(**words)
    head = TimeSformerHead(3, 4, multi_class=multi_class, **head)
    hook._set_loss(SimpleNamespace(logger=MMLogger.get_current_instance()), head, LABELS)
    assert head.loss_cls is hook.loss
    return hook.loss


@pytest.mark.parametrize(
    ('words', 'multi_class', 'kind', 'weights'),
    [
        (dict(class_weight='inverse'), False, CrossEntropyLoss, [3 / 13, 12 / 13, 24 / 13]),  # 8, 2, and 1 for none
        (dict(class_weight=[1, 2, 3]), True, BCELossWithLogits, [1, 2, 3]),
        (dict(focal=1.5), True, FocalLoss, None),
        (dict(focal=2, class_weight='inverse'), False, FocalLoss, [3 / 13, 12 / 13, 24 / 13]),
        (dict(logit_adjustment=1), False, LogitAdjustedLoss, None),
        (dict(logit_adjustment=0.5, focal=2, class_weight=[1, 2, 3]), False, LogitAdjustedLoss, [1, 2, 3]),
    ],
)
def test_words_choose_the_loss(words, multi_class, kind, weights):
    loss = loss_of(words, multi_class)
    assert type(loss) is kind
    within = getattr(loss, 'loss_cls', loss)
    assert (within.class_weight is None) if weights is None else within.class_weight.tolist() == pytest.approx(weights)
    if isinstance(within, FocalLoss):
        assert (within.gamma, within.sigmoid) == (words['focal'], multi_class)
    if kind is LogitAdjustedLoss:
        assert loss.added.exp().tolist() == pytest.approx([(n / 11) ** words['logit_adjustment'] for n in (8, 2, 1)])


@pytest.mark.parametrize('words', [dict(focal=2), dict(class_weight=[1, 2, 3])])
def test_words_that_need_no_sizes_take_a_data_set_without_labels(words):
    head, logger = TimeSformerHead(3, 4), MMLogger.get_current_instance()
    loader = SimpleNamespace(dataset=object())
    runner: Any = SimpleNamespace(train_dataloader=loader, logger=logger, model=SimpleNamespace(cls_head=head))
    runner._train_loop = SimpleNamespace()
    UnequalClassesHook(**words).before_run(runner)
    assert isinstance(head.loss_cls, FocalLoss if 'focal' in words else CrossEntropyLoss)
    with pytest.raises(ValueError, match='object does not tell its labels'):
        UnequalClassesHook(class_weight='inverse').before_run(runner)


@pytest.mark.parametrize(
    ('words', 'more', 'error'),
    [
        (dict(class_weight=[1, 2]), {}, 'training.class_weight has 2 numbers, but there are 3 classes'),
        (dict(logit_adjustment=1), dict(multi_class=True), 'which is for one label a video'),
        (dict(focal=1), dict(loss_cls=dict(type='FocalLoss')), 'model.cls_head has a loss of its own, FocalLoss'),
        (
            dict(focal=1),
            dict(loss_cls=dict(type='CrossEntropyLoss', class_weight=[1.0, 1.0, 1.0])),
            'model.cls_head has a loss of its own',
        ),
        (dict(focal=1), dict(loss_cls=dict(type='CrossEntropyLoss')), 'has a loss of its own, CrossEntropyLoss'),
        (dict(focal=1), dict(loss_cls=dict(type='BCELossWithLogits')), 'has a loss of its own, BCELossWithLogits'),
        (
            dict(class_weight=[1, 2, 3]),
            dict(loss_cls=dict(type='CrossEntropyLoss'), multi_class=True),
            'has a loss of its own, CrossEntropyLoss',
        ),
    ],
)
def test_a_loss_that_does_not_fit_is_refused(words, more, error):
    with pytest.raises(ValueError, match=error):
        loss_of(words, **more)


@pytest.mark.parametrize(
    ('options', 'error'),
    [
        ({'training.balance': -0.1}, 'training.balance is -0.1, expected a number from 0'),
        ({'training.focal': -1}, r'training.focal is -1, expected a number from 0 \(none\) on'),
        ({'training.logit_adjustment': 'x'}, "training.logit_adjustment is 'x'"),
        ({'training.class_weight': 'rare'}, "training.class_weight is 'rare', expected None, 'inverse' or 'effective'"),
        ({'training.class_weight': 1.0}, 'training.class_weight is 1.0'),
        ({'training.class_weight': [1, 0]}, r'training.class_weight is \[1, 0\]'),
        ({'training.balance': 1, 'training.logit_adjustment': 1}, 'are both set, .* together they overdo it'),
        ({'training.balance': 1, 'training.class_weight': 0.9}, 'training.balance and training.class_weight are both'),
        ({'training.logit_adjustment': 1, 'data.multi_class': True}, 'data.multi_class is True; set it to 0'),
        (
            {'training.focal': 2, 'model.cls_head.loss_cls.type': 'CrossEntropyLoss'},
            'model.cls_head has a loss of its own, CrossEntropyLoss, but training.class_weight',
        ),
    ],
)
def test_words_that_make_no_sense_are_refused_when_the_config_is_read(options, error):
    with pytest.raises(ValueError, match=error):
        load_config(str(ROOT / TINY), options)


def test_balance_needs_our_sampler(data, tmp_path):
    with pytest.raises(ValueError, match='train_dataloader.sampler is a DefaultSampler; set its type'):
        trained(data, tmp_path, **{'training.balance': 1, 'train_dataloader.sampler.type': 'DefaultSampler'})


def test_balance_names_classes_that_it_cannot_draw():
    told: list[str] = []
    logger = SimpleNamespace(warning=told.append, info=lambda *_, **__: None)
    loader = SimpleNamespace(sampler=SeededSampler(range(len(LABELS))))
    UnequalClassesHook(balance=1)._balance(SimpleNamespace(train_dataloader=loader, logger=logger), LABELS, 4)
    assert told == ['2 classes without a training video (2, 3), never drawn']
