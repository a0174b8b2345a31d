"""The classification head."""

import pytest
import torch
import torch.nn.functional as F
from helpers import assert_close, randomise
from mmaction.structures import ActionDataSample
from torch import nn

from mmtsf.models import TimeSformerHead


def test_scores_are_one_linear_layer() -> None:
    head, features = randomise(TimeSformerHead(7, 48)).eval(), torch.randn(5, 48)
    assert_close(head(features), features @ head.fc_cls.weight.T + head.fc_cls.bias)
    assert sum(parameter.numel() for parameter in head.parameters()) == 7 * (48 + 1)


def test_hidden_channels_make_it_the_papers_mlp() -> None:
    head, features = randomise(TimeSformerHead(7, 48, hidden_channels=20)).eval(), torch.randn(5, 48)
    first = head.hidden[0]
    hidden = F.gelu(features @ first.weight.T + first.bias)
    assert hidden.shape == (5, 20)
    assert_close(head(features), hidden @ head.fc_cls.weight.T + head.fc_cls.bias)


def test_weights_start_at_the_given_deviation_and_biases_at_zero() -> None:
    head = TimeSformerHead(100, 100, hidden_channels=100, init_std=0.5)
    head.init_weights()
    for layer in (head.hidden[0], head.fc_cls):
        assert isinstance(layer, nn.Linear)
        assert not layer.bias.any()
        assert layer.weight.std().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ('average_clips', 'combine'),
    [
        ('prob', lambda views: views.softmax(-1).mean(1)),
        ('score', lambda views: views.mean(1)),
        (None, lambda views: views),
    ],
)
def test_views_are_combined_as_average_clips_says(average_clips: str | None, combine) -> None:
    head, features = randomise(TimeSformerHead(7, 48, average_clips=average_clips)).eval(), torch.randn(6, 48)
    results = head.predict(features, [ActionDataSample(), ActionDataSample()])  # two videos of three views
    scores = torch.stack([result.pred_scores.item for result in results])
    assert_close(scores, combine(head(features).unflatten(0, (2, 3))))


def test_dropout_acts_in_training_only() -> None:
    head, features = randomise(TimeSformerHead(7, 48, dropout_ratio=0.5)), torch.randn(5, 48)
    assert_close(head.eval()(features), F.linear(features, head.fc_cls.weight, head.fc_cls.bias))
    assert (head.train()(features) - head.eval()(features)).abs().max() > 1e-2
