"""Private names of PyTorch that the models use: each does what it is used for, and is still needed."""

import pytest
import torch
import torch.nn.functional as F
from helpers import assert_close
from torch import nn
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode

from mmtsf import compat


def test_transforms_are_known() -> None:
    x, seen = torch.ones(2, requires_grad=True), []

    def note(x: torch.Tensor) -> torch.Tensor:
        seen.append(compat.is_transformed(x))
        return x.square().sum()

    note(x)
    torch.func.grad(note)(x)
    torch.func.vmap(note)(x[None])
    with forward_ad.dual_level():
        note(x)
    assert seen == [False, True, True, True]
    x.register_hook(lambda gradient: seen.append(compat.is_transformed(gradient)))
    torch.autograd.grad(x * 2, x, torch.eye(2), is_grads_batched=True)
    assert seen[-1] is True


def test_modes_are_known() -> None:
    assert not compat.is_dispatched()
    with FlopCounterMode(display=False):
        assert compat.is_dispatched()


@pytest.mark.parametrize(
    'register', ['forward_pre_hook', 'forward_hook', 'full_backward_hook', 'full_backward_pre_hook']
)
def test_hooks_are_known(register: str) -> None:
    layer = nn.Linear(2, 2)
    assert not compat.has_hooks(layer)
    handle = getattr(layer, f'register_{register}')(lambda *_: None)
    assert compat.has_hooks(layer)
    handle.remove()
    assert not compat.has_hooks(layer)
    handle = getattr(nn.modules.module, f'register_module_{register}')(lambda *_: None)
    assert compat.has_global_hooks()
    handle.remove()
    assert not compat.has_global_hooks()


class _Kept(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x * weight

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        return gradient * weight, gradient * x


def test_a_saved_tensor_is_computed_again_with_its_graph() -> None:
    x, weight, computed = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True), []
    y = _Kept.apply(x.exp(), weight)
    compat.replace_saved(y, 0, lambda: computed.append(1) or x.detach().exp())
    (gradient,) = torch.autograd.grad(y.sum(), weight, create_graph=True)
    assert computed == [1]
    assert_close(torch.autograd.grad(gradient.sum(), x)[0], x.exp())


def test_what_others_keep_is_left_to_them() -> None:
    x = torch.ones(3, requires_grad=True)
    with torch.autograd.graph.save_on_cpu():
        y = _Kept.apply(x, x)
        compat.replace_saved(y, 0, lambda: pytest.fail('computed again'))
    y.sum().backward()


@pytest.mark.skipif(not compat.has_onednn(), reason='PyTorch was built without oneDNN')
def test_onednns_product_is_pytorchs_and_has_no_gradient_of_its_own() -> None:
    x, weight, bias = torch.randn(5, 6), torch.randn(7, 6), torch.randn(7)
    assert_close(compat.onednn_linear(x, weight, bias), F.linear(x, weight, bias))
    assert_close(compat.onednn_linear(x, weight, None), x @ weight.T)
    compat.onednn_linear(x, weight.requires_grad_(), bias).sum().backward()
    assert weight.grad is None


def test_the_gradient_of_a_softmax_is_its_derivative() -> None:
    scores, gradient = torch.randn(2, 5, requires_grad=True), torch.randn(2, 5)
    weights = scores.softmax(-1)
    expected = torch.autograd.grad(weights, scores, gradient)[0]
    assert_close(compat.softmax_backward(gradient, weights), expected)


def test_flash_attention_is_pytorchs_which_still_has_no_second_derivative() -> None:
    assert compat.has_flash_attention()
    q, k, v = (torch.randn(2, 3, 5, 4, requires_grad=True) for _ in 'qkv')
    mixed, logs = compat.flash_attention(q.detach(), k.detach(), v.detach())
    expected = F.scaled_dot_product_attention(q, k, v)
    assert_close(mixed, expected)
    gradients = torch.autograd.grad(expected.square().sum(), (q, k, v), create_graph=True)
    ours = compat.flash_attention_backward(2 * mixed, q.detach(), k.detach(), v.detach(), mixed, logs)
    for one, other in zip(ours, gradients, strict=True):
        assert_close(one, other)
    with pytest.raises(RuntimeError, match='not implemented'):
        gradients[0].sum().backward()
