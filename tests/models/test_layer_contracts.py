"""A layer is called: whatever stands in its place, and whatever looks at it, counts."""

import pytest
import torch
import torch.nn.functional as F
from helpers import SCHEMES, assert_close, tiny_backbone, tiny_clips
from mmengine.analysis import get_model_complexity_info
from torch import nn
from torch.func import functional_call

from mmtsf import compat
from mmtsf.models.kernels.through import through

each_scheme = pytest.mark.parametrize('scheme', SCHEMES)


def test_a_module_that_stands_in_a_sequence_twice_runs_twice() -> None:
    act = nn.Tanh()
    mlp = nn.Sequential(nn.Linear(8, 8), act, nn.Linear(8, 8), act, nn.Linear(8, 8))
    x = torch.randn(3, 8)
    assert_close(through(x, mlp), mlp[4](mlp[3](mlp[2](mlp[1](mlp[0](x))))))


@pytest.mark.parametrize('first', [lambda: nn.LayerNorm(8), lambda: nn.GELU('tanh')], ids=['norm', 'gelu'])
def test_gradients_are_those_of_the_weights_and_settings_of_the_forward_pass(first) -> None:
    norm, layer, x = first(), nn.Linear(8, 8), torch.randn(5, 8, requires_grad=True)
    expected = torch.autograd.grad(layer(norm(x)).sin().sum(), layer.weight)[0]
    y = through(x, norm, layer)
    norm.eps, norm.approximate = 1.0, 'none'
    norm.load_state_dict({key: value + 1 for key, value in norm.state_dict().items()}, assign=True)
    norm.register_forward_hook(lambda *_: pytest.fail('the backward pass calls the norm'))
    assert_close(torch.autograd.grad(y.sin().sum(), layer.weight)[0], expected)


def test_functional_call_has_gradients_of_the_weights_that_it_is_given() -> None:
    model, clips = tiny_backbone(dict(type='DividedAttention')), tiny_clips(2)
    given = {name: (value + 0.1).detach().requires_grad_() for name, value in model.named_parameters()}
    got = torch.autograd.grad(functional_call(model, given, clips).sin().sum(), [*given.values()], allow_unused=True)
    model.load_state_dict({name: value.detach() for name, value in given.items()}, strict=False)
    expected = torch.autograd.grad(model(clips).sin().sum(), [*model.parameters()], allow_unused=True)
    for one, other in zip(got, expected, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize('name', ['weight', 'bias', 'x'])
def test_an_operand_that_was_changed_before_the_backward_pass_is_an_error(name: str) -> None:
    norm, layer, x = nn.LayerNorm(8), nn.Linear(8, 8), torch.randn(5, 8, requires_grad=True) * 1
    y = through(x, norm, layer)
    with torch.no_grad():
        (x if name == 'x' else getattr(norm, name)).add_(1)
    with pytest.raises(RuntimeError, match='modified by an inplace operation'):
        torch.autograd.grad(y.sum(), layer.weight)


def test_a_version_is_what_pytorch_counts() -> None:
    x = torch.randn(2)
    before = compat.version(x)
    x.add_(1)
    assert compat.version(x) == before + 1


class Mix(nn.Module):
    """An MLP for which each token depends on all."""

    def __init__(self, mlp: nn.Module) -> None:
        super().__init__()
        self.mlp = mlp

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mlp(x + x.mean(dim=1, keepdim=True))


@pytest.mark.parametrize(
    'change',
    [
        lambda block: setattr(block, 'mlp', Mix(block.mlp)),
        lambda block: setattr(block, 'norm', nn.LayerNorm((33, 48))),
        lambda block: setattr(block, 'drop_path', nn.Softmax(dim=1)),
    ],
    ids=['mlp', 'norm', 'drop_path'],
)
@torch.no_grad()
def test_a_last_block_of_unknown_modules_sees_all_tokens(change) -> None:
    model, clips = tiny_backbone('DividedAttention'), tiny_clips(2)
    change(model.blocks[-1])
    assert_close(model(clips), model.norm(model.encode(clips)[0][:, 0]))


@pytest.mark.parametrize('hooked', [False, True])
@torch.no_grad()
def test_a_compiled_model_computes_the_last_block_whole_where_a_hook_looks_at_it(hooked: bool) -> None:
    model, clips, shapes = tiny_backbone('DividedAttention'), tiny_clips(2), []
    expected = model(clips)
    if hooked:
        model.blocks[-1].mlp.register_forward_hook(lambda module, inputs, output: None)

    def backend(graph, _):
        shapes.extend(node.meta['example_value'].shape for node in graph.graph.nodes if node.target is F.gelu)
        return graph.forward

    torch.compiler.reset()
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    assert_close(compiled(clips), expected)
    assert [shape[1] for shape in shapes] == [33, 33 if hooked else 1]


@each_scheme
def test_a_trace_computes_the_same(scheme: str) -> None:
    model, clips = tiny_backbone(scheme), tiny_clips(2)
    traced = torch.jit.trace(model, clips)
    other = tiny_clips(2)
    assert_close(traced(other), model(other))
    assert get_model_complexity_info(model, input_shape=tuple(clips.shape[1:]), show_table=False)['flops'] > 0
