"""Focal loss and logit adjustment against their formulas, and MMAction2's losses as what they come to."""

import pytest
import torch
import torch.nn.functional as F
from helpers import assert_close
from mmaction.models.losses import BCELossWithLogits, CrossEntropyLoss

from mmtsf.models import FocalLoss, LogitAdjustedLoss
from mmtsf.models.losses import class_weights

SCORES = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 3.0], [-2.0, 0.1, 0.2]])
LABELS = torch.tensor([0, 1, 2])
SOFT = torch.tensor([[0.7, 0.3, 0.0], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0]])
WEIGHTS = [1.0, 2.0, 5.0]


@pytest.mark.parametrize('weights', [None, WEIGHTS])
@pytest.mark.parametrize('labels', [LABELS, SOFT], ids=['hard', 'soft'])
def test_without_a_gamma_it_is_mmactions(labels, weights):
    assert_close(FocalLoss(0, class_weight=weights)(SCORES, labels), CrossEntropyLoss(1.0, weights)(SCORES, labels))
    if labels.ndim == 2:
        ours = FocalLoss(0, sigmoid=True, class_weight=weights, loss_weight=0.5)
        assert_close(ours(SCORES, labels), BCELossWithLogits(0.5, weights)(SCORES, labels))


def test_what_is_easy_counts_little():
    p = SCORES.softmax(1)[range(3), LABELS]
    assert_close(FocalLoss(2)(SCORES, LABELS), ((1 - p) ** 2 * -p.log()).mean())
    hot = F.one_hot(LABELS, 3)
    p = torch.where(hot > 0, SCORES.sigmoid(), 1 - SCORES.sigmoid())
    assert_close(FocalLoss(2, sigmoid=True)(SCORES, hot.float()), ((1 - p) ** 2 * -p.log()).mean())


@pytest.mark.parametrize('sigmoid', [False, True])
def test_the_derivative_is_finite_where_a_prediction_is_sure(sigmoid):
    scores = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    for gamma in (0.5, 1, 2):
        FocalLoss(gamma, sigmoid)(scores, torch.tensor([0, 0])).backward()
        assert scores.grad is not None
        assert scores.grad.isfinite().all()


@pytest.mark.parametrize('labels', [LABELS, SOFT], ids=['hard', 'soft'])
def test_logits_are_adjusted_by_the_log_of_the_shares(labels):
    shares = torch.tensor([0.7, 0.2, 0.1])
    loss = LogitAdjustedLoss([70, 20, 10], tau=1.5)
    assert_close(loss(SCORES, labels), F.cross_entropy(SCORES + 1.5 * shares.log(), labels))
    assert not loss.state_dict()
    # equal classes adjust nothing, and the loss within may be another
    within = dict(type='FocalLoss', gamma=2)
    assert_close(LogitAdjustedLoss([4, 4, 4], loss_cls=within)(SCORES, labels), FocalLoss(2)(SCORES, labels))
    with pytest.raises(ValueError, match='class_counts has a 0, expected a number above 0 for each class'):
        LogitAdjustedLoss([3, 0])


def test_weights_are_inverse_to_the_number_or_the_effective_number():
    assert class_weights([10, 40], 'inverse') == pytest.approx([1.6, 0.4])
    numbers = [(1 - 0.9**n) / (1 - 0.9) for n in (10, 40)]
    assert class_weights([10, 40], 0.9) == pytest.approx([2 * numbers[1] / sum(numbers), 2 * numbers[0] / sum(numbers)])
    assert class_weights([10, 40], 'effective') == class_weights([10, 40], 0.999)
