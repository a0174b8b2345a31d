"""The head's losses and accuracies are MMAction2's, and no tensor is read for them."""

import pytest
import torch
from mmaction.models.heads import BaseHead
from mmaction.structures import ActionDataSample
from torch.overrides import TorchFunctionMode

from mmtsf.models.heads import TimeSformerHead


class NoNumPy(TorchFunctionMode):
    """Refuses what makes Python wait for a tensor's numbers."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        assert getattr(function, '__name__', '') not in ('cpu', 'numpy', 'item', 'tolist', '__bool__')
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize('classes', [3, 10])
@pytest.mark.parametrize('smoothing', [0.0, 0.1])
@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize('batch', [1, 4])
def test_losses_are_those_of_mmaction2(batch, soft, smoothing, classes):
    head = TimeSformerHead(classes, 8, label_smooth_eps=smoothing)
    scores = torch.randn(batch, classes, requires_grad=True)
    labels = [torch.rand(classes).softmax(0) if soft else torch.randint(classes, (1,)) for _ in range(batch)]
    samples = [ActionDataSample().set_gt_labels(label) for label in labels]
    expected = BaseHead.loss_by_feat(head, scores, samples)
    with NoNumPy():
        found = head.loss_by_feat(scores, samples)
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert {name: value.dtype for name, value in found.items()} == {n: v.dtype for n, v in expected.items()}
