"""The head over patch tokens."""

import pytest
import torch
from helpers import assert_close, randomise

from mmtsf.models import AttentiveHead


def pooled_by_hand(head: AttentiveHead, tokens: torch.Tensor) -> torch.Tensor:
    """``(B, N, C)`` to ``(B, C)``, head by head and clip by clip, as the formula says."""
    width = tokens.shape[-1] // head.num_heads
    keys, values = (tokens @ head.kv.weight.T + head.kv.bias).chunk(2, dim=-1)
    rows = []
    for clip in range(len(tokens)):
        parts = []
        for number in range(head.num_heads):
            part = slice(number * width, (number + 1) * width)
            weights = (keys[clip, :, part] @ head.query[0, number, 0] / width**0.5).softmax(dim=0)
            parts.append(weights @ values[clip, :, part])
        rows.append(torch.cat(parts))
    return torch.stack(rows)


def test_it_classifies_what_the_query_pools() -> None:
    head, tokens = randomise(AttentiveHead(7, 24, num_heads=3)).eval(), torch.randn(2, 5, 24)
    pooled = pooled_by_hand(head, tokens)
    assert_close(head.pool(tokens), pooled)
    assert_close(head(tokens), pooled @ head.fc_cls.weight.T + head.fc_cls.bias)


def test_it_begins_with_the_mean_of_the_values() -> None:
    head, tokens = AttentiveHead(7, 24, num_heads=3), torch.randn(2, 5, 24)
    head.init_weights()
    values = (tokens @ head.kv.weight.T)[..., 24:]
    assert_close(head.pool(tokens), values.mean(dim=1))


def test_the_query_learns_from_the_first_step_and_the_keys_after_it() -> None:
    head, tokens = AttentiveHead(7, 24, num_heads=3), torch.randn(2, 5, 24, requires_grad=True)
    head.init_weights()
    head(tokens).square().sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.any(), name
    assert tokens.grad is not None
    assert not head.kv.weight.grad[:24].any()  # of the keys
    torch.optim.SGD(head.parameters(), lr=0.1).step()
    head(tokens).square().sum().backward()
    assert head.kv.weight.grad[:24].any()


def test_features_in_place_of_tokens_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"expected tokens \(B, N, C\); a model with type='VideoRecognizer' gives them"
    ):
        AttentiveHead(7, 24, num_heads=3)(torch.randn(2, 24))


def test_heads_that_do_not_divide_the_width_are_named() -> None:
    with pytest.raises(ValueError, match='in_channels 24 is not divisible by num_heads 5'):
        AttentiveHead(7, 24, num_heads=5)
