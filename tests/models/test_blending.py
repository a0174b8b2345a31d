"""Mixed clips, and the losses of their labels."""

import pytest
import torch
import torch.nn.functional as F
from helpers import assert_close
from mmaction.models import BaseRecognizer
from mmaction.structures import ActionDataSample
from mmengine.optim import build_optim_wrapper

from mmtsf.config import load_config
from mmtsf.registry import MODELS

CONFIG = 'configs/timesformer_tiny_motion.py'
LABELS = [3, 0, 1]
SEVERAL = [[1.0, 0, 1, 0], [0.0, 0, 0, 0], [1.0, 1, 1, 1]]
SMALL = {'start': None, 'model.backbone.num_layers': 1, 'clip.num_frames': 2}


def model_of(*augments: str, **options) -> BaseRecognizer:
    """A small model of the recipe that blends in these ways."""
    config = load_config(CONFIG, dict(recipe='modern', **SMALL, **options))
    config.model.data_preprocessor.blending.augments = [
        dict(type=augment, num_classes=4, alpha=1.0) for augment in augments
    ]
    return MODELS.build(config.model).train()


def batch_of(labels: list) -> dict:
    """Random frames, uint8, with these labels."""
    torch.manual_seed(1)
    inputs = [torch.randint(256, (1, 3, 2, 48, 48), dtype=torch.uint8) for _ in labels]
    samples = [ActionDataSample().set_gt_labels(torch.tensor(x) if isinstance(x, list) else x) for x in labels]
    return dict(inputs=inputs, data_samples=samples)


def normalised(batch: dict) -> torch.Tensor:
    return torch.stack(batch['inputs']).float().sub(114.75).div(57.375)


def targets_of(labels: list) -> torch.Tensor:
    return torch.tensor(labels) if isinstance(labels[0], list) else F.one_hot(torch.tensor(labels), 4).float()


def blend(model: BaseRecognizer, labels: list) -> tuple[dict, torch.Tensor, torch.Tensor]:
    """What the preprocessor makes of a batch; the clips and labels it was made of."""
    batch = batch_of(labels)
    clips = normalised(batch)
    torch.manual_seed(2)
    return model.data_preprocessor(batch, training=True), clips, targets_of(labels)


@pytest.mark.parametrize('labels', [LABELS, SEVERAL], ids=['one_label', 'several_labels'])
def test_mixup_adds_clips_and_labels_with_the_same_weights(labels: list) -> None:
    mixed, clips, targets = blend(model_of('MixupBlending'), labels)
    torch.manual_seed(2)
    torch.randint(1, ())  # the choice among one
    share, order = torch.distributions.Beta(1.0, 1.0).sample(), torch.randperm(3)
    assert 0 < share < 1
    assert_close(mixed['inputs'], share * clips + (1 - share) * clips[order])
    found = torch.stack([sample.gt_labels.item for sample in mixed['data_samples']])
    assert_close(found, share * targets + (1 - share) * targets[order])


@pytest.mark.parametrize('labels', [LABELS, SEVERAL], ids=['one_label', 'several_labels'])
def test_cutmix_mixes_labels_as_the_areas_of_the_clips(labels: list) -> None:
    mixed, clips, targets = blend(model_of('CutmixBlending'), labels)
    torch.manual_seed(2)
    torch.randint(1, ())
    order = torch.randperm(3)
    cut = (mixed['inputs'] != clips)[:, 0]  # (B, 3, T, H, W)
    moved = order != torch.arange(3)
    assert_close(mixed['inputs'][:, 0][cut], clips[order][:, 0][cut])
    area = cut[moved].any(dim=1).float().mean()  # of all frames the same box
    assert 0 < area < 1
    found = torch.stack([sample.gt_labels.item for sample in mixed['data_samples']])
    assert_close(found[moved], ((1 - area) * targets + area * targets[order])[moved], atol=0.01)


@pytest.mark.parametrize(('labels', 'several'), [(LABELS, False), (SEVERAL, True)])
def test_the_loss_is_that_of_smoothed_mixed_labels(labels: list, several: bool) -> None:
    model = model_of('MixupBlending', 'CutmixBlending', **{'data.multi_class': several})
    mixed, _, _ = blend(model, labels)
    scores = model.cls_head(model.backbone(mixed['inputs'].flatten(0, 1)))
    smoothed = 0.9 * torch.stack([sample.gt_labels.item for sample in mixed['data_samples']]) + 0.1 / 4
    if several:
        expected = F.binary_cross_entropy_with_logits(scores, smoothed)
    else:
        expected = -(smoothed * scores.log_softmax(dim=1)).sum(dim=1).mean()
    assert_close(model(**mixed, mode='loss')['loss_cls'], expected)


def test_smoothing_without_blending_is_pytorchs() -> None:
    config = load_config(CONFIG, dict(recipe='small', **SMALL))
    model, batch = MODELS.build(config.model).eval(), batch_of(LABELS)
    data = model.data_preprocessor(batch, training=True)
    scores = model.cls_head(model.backbone(data['inputs'].flatten(0, 1)))
    expected = F.cross_entropy(scores, torch.tensor(LABELS), label_smoothing=0.1)
    assert_close(model(**data, mode='loss')['loss_cls'], expected)


def test_the_same_seed_draws_the_same_blend_and_both_are_drawn() -> None:
    model = model_of('MixupBlending', 'CutmixBlending')
    drawn = []
    for seed in (*range(8), *range(8)):
        batch = batch_of(LABELS)
        torch.manual_seed(seed)
        drawn.append(model.data_preprocessor(batch, training=True)['inputs'])
    assert all(torch.equal(first, second) for first, second in zip(drawn[:8], drawn[8:]))
    plain = normalised(batch_of(LABELS))
    kept = torch.stack([(inputs == plain).flatten(1).float().mean(dim=1) for inputs in drawn])  # of each clip
    assert (kept < 0.1).any()  # mixup changes all pixels
    assert ((kept > 0.1) & (kept < 0.99)).any()


def test_nothing_is_blended_in_testing_and_a_step_learns() -> None:
    model = model_of('MixupBlending', 'CutmixBlending')
    batch = batch_of(LABELS)
    assert_close(model.data_preprocessor(batch, training=False)['inputs'], normalised(batch_of(LABELS)))
    wrapper = build_optim_wrapper(model, load_config(CONFIG, dict(recipe='modern', **SMALL)).optim_wrapper)
    before = model.cls_head.fc_cls.weight.clone()
    assert torch.isfinite(model.train_step(batch_of([2]), wrapper)['loss'])  # a batch of one clip
    assert not torch.equal(model.cls_head.fc_cls.weight, before)


def test_blending_has_the_probabilities_that_are_asked_for():
    ways = [dict(type='MixupBlending', num_classes=2), dict(type='CutmixBlending', num_classes=2)]
    clips, labels = torch.randn(2, 1, 3, 2, 4, 4), torch.eye(2)

    def share_of_none(probs):
        blending = MODELS.build(dict(type='RandomBlending', augments=ways, probs=probs))
        return sum(blending.do_blending(clips, labels)[1] is labels for _ in range(200)) / 200

    assert share_of_none([0.5, 0.5]) == share_of_none(None) == 0
    assert share_of_none([0.0, 0.0]) == 1
    assert 0.3 < share_of_none([0.25, 0.25]) < 0.7
