"""A layer is called: whatever stands in its place, and whatever looks at it, counts."""

import copy

import pytest
import torch
import torch.nn.functional as F
from helpers import SCHEMES, assert_close, tiny_backbone, tiny_clips
from mmengine.analysis import get_model_complexity_info
from runs import run_tool
from torch import nn
from torch.func import functional_call
from torch.nn.utils import weight_norm
from torch.nn.utils.parametrize import register_parametrization
from torch.nn.utils.prune import l1_unstructured
from torch.utils.flop_counter import FlopCounterMode

from mmtsf import compat
from mmtsf.deploy.fuse import fuse_backbone
from mmtsf.models.kernels.linear import linear
from mmtsf.models.kernels.through import through
from mmtsf.models.layers import DropPath

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
    model, clips, shapes = tiny_backbone('DividedAttention', num_layers=1), tiny_clips(2), []
    expected = model(clips)
    if hooked:
        model.blocks[-1].mlp.register_forward_hook(lambda module, inputs, output: None)

    def backend(graph, _):
        shapes.extend(node.meta['example_value'].shape for node in graph.graph.nodes if node.target is F.gelu)
        return graph.forward

    torch.compiler.reset()
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    assert_close(compiled(clips), expected)
    assert [shape[1] for shape in shapes] == [33 if hooked else 1]


@each_scheme
def test_a_trace_computes_the_same(scheme: str) -> None:
    model, clips = tiny_backbone(scheme), tiny_clips(2)
    traced = torch.jit.trace(model, clips)
    other = tiny_clips(2)
    assert_close(traced(other), model(other))
    assert get_model_complexity_info(model, input_shape=tuple(clips.shape[1:]), show_table=False)['flops'] > 0


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize(
    'module', [nn.SiLU(inplace=True), nn.ReLU(inplace=True), nn.Dropout(0.0, inplace=True)], ids=str
)
def test_a_module_may_work_in_place_on_what_a_linear_layer_gives(module: nn.Module, dtype: torch.dtype) -> None:
    modules = nn.Sequential(nn.Linear(8, 8), module, nn.Linear(8, 8), DropPath(0.0), module).to(dtype)
    x = torch.randn(2, 5, 8, dtype=dtype)
    parameters = tuple(modules.parameters())
    got = torch.autograd.grad(through(x, modules).sin().sum(), parameters)
    expected = torch.autograd.grad(modules(x).sin().sum(), parameters)
    for one, other in zip(got, expected, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize('grad', [True, False])
@pytest.mark.parametrize(
    ('x', 'weight', 'bias'),
    [
        ((4, 8), (3, 7), (3,)),
        ((4, 8), (3, 8), (4,)),
        ((4, 8), (3, 8), (1,)),
        ((4, 8), (8,), None),
        ((4, 8), (2, 3, 8), None),
        ((0, 8), (3, 8), (3,)),
        ((4, 0), (3, 0), (3,)),
        ((4, 8), (0, 8), (0,)),
        ((8,), (3, 8), (3,)),
        ((), (3, 8), (3,)),
    ],
    ids=str,
)
def test_operands_of_any_shape_give_what_pytorch_gives(x, weight, bias, grad: bool) -> None:
    operands = [None if shape is None else torch.randn(shape, requires_grad=True) for shape in (x, weight, bias)]

    def answer(product):
        try:
            return product(*operands)
        except RuntimeError as error:
            return str(error)

    with torch.set_grad_enabled(grad):
        got, expected = answer(linear), answer(F.linear)
    if isinstance(expected, str):
        assert got == expected
    else:
        assert_close(got, expected)


@each_scheme
@pytest.mark.parametrize('mode', ['train', 'eval', 'bfloat16'])
def test_no_clips_give_no_features(scheme: str, mode: str) -> None:
    model = tiny_backbone(scheme).train(mode == 'train')
    with torch.autocast('cpu', enabled=mode == 'bfloat16'), torch.set_grad_enabled(mode != 'eval'):
        features = model(tiny_clips(0))
    assert features.shape == (0, 48)
    if mode != 'eval':
        features.sum().backward()
        assert all(parameter.grad is None or not parameter.grad.any() for parameter in model.parameters())


@pytest.mark.parametrize('grad', [True, False])
def test_a_wrapper_of_a_pytorch_function_sees_every_call(grad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model, clips, calls = tiny_backbone('DividedAttention'), tiny_clips(2), []
    with torch.set_grad_enabled(grad):
        expected = model(clips)
        usual = F.linear
        monkeypatch.setattr(F, 'linear', lambda *operands: calls.append(operands) or usual(*operands))
        assert_close(model(clips), expected)
    assert len(calls) == sum(isinstance(module, nn.Linear) for module in model.modules())


def test_a_forward_that_was_replaced_before_our_import_is_called() -> None:
    script = (
        'from torch import nn; usual, calls = nn.Linear.forward, []\n'
        'nn.Linear.forward = lambda module, x: calls.append(module) or usual(module, x)\n'
        'import torch; from mmtsf.models.kernels.through import through\n'
        'through(torch.randn(2, 8), nn.Linear(8, 8)); assert len(calls) == 1'
    )
    run_tool('-c', script)


class Count(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return weight


def test_a_parametrisation_is_computed_once_for_each_call() -> None:
    model, count = tiny_backbone('DividedAttention'), Count()
    register_parametrization(model.blocks[-1].mlp[0], 'weight', count)
    count.calls = 0
    model(tiny_clips(1))
    assert count.calls == 1


@pytest.mark.parametrize('scheme', ['JointAttention', 'DividedAttention'])
def test_the_flop_counter_sees_all_products(scheme: str) -> None:
    model, clips = tiny_backbone(scheme, num_layers=1), tiny_clips(2)
    with FlopCounterMode(display=False) as counter:
        model(clips)
    tokens = {'JointAttention': [(2, 33)], 'DividedAttention': [(2 * 8, 4), (2 * 4, 9)]}[scheme]
    products = 2 * clips.numel() * 48
    products += sum(2 * groups * length * 48 * (4 * 48 + 2 * length) for groups, length in tokens)
    products += 2 * 2 * 33 * 48 * 48 * 8
    if scheme == 'DividedAttention':
        products += 2 * 2 * 32 * 48 * 48  # temporal_fc
    assert counter.get_total_flops() == products


def test_the_flop_counter_sees_a_backward_pass_alone() -> None:
    x = torch.randn(5, 8, requires_grad=True)
    y = linear(x, torch.randn(3, 8, requires_grad=True)).sum()
    with FlopCounterMode(display=False) as counter:
        y.backward()
    assert counter.get_total_flops() == 2 * 2 * 5 * 3 * 8


@pytest.mark.parametrize(
    'change',
    [
        lambda patch: l1_unstructured(patch, 'weight', 0.5),
        lambda patch: weight_norm(patch),
        lambda patch: register_parametrization(patch, 'weight', Count()),
        lambda patch: patch.register_forward_hook(lambda module, inputs, output: output * 2),
        lambda patch: setattr(patch, 'padding', (1, 1)),
    ],
    ids=['pruned', 'weight norm', 'parametrised', 'hook', 'padding'],
)
def test_a_patch_embedding_that_does_more_is_not_fused_and_the_model_stays_as_it_is(change) -> None:
    model = tiny_backbone('DividedAttention')
    change(model.embedding.patch)
    names = list(model.state_dict())
    with pytest.raises(TypeError, match='without padding'):
        fuse_backbone(model, torch.rand(3), torch.rand(3))
    assert list(model.state_dict()) == names


@pytest.mark.parametrize(
    'change',
    [
        lambda step: step.proj.register_forward_hook(lambda module, inputs, output: output * 2),
        lambda step: setattr(step, 'drop_path', nn.GELU()),
        lambda step: l1_unstructured(step.temporal_fc, 'weight', 0.5),
    ],
    ids=['hook', 'GELU', 'pruned'],
)
@torch.no_grad()
def test_layers_that_do_more_are_not_merged(change) -> None:
    model, clips = tiny_backbone('DividedAttention'), tiny_clips(2)
    for block in model.blocks:
        change(block.attention.steps['time'])
    expected = model(clips)
    fuse_backbone(model)
    assert_close(model(clips), expected)


@pytest.mark.parametrize('call', ['forward', 'encode'])
def test_a_fused_model_refuses_to_train_by_whatever_way(call: str) -> None:
    model = tiny_backbone('DividedAttention')
    fuse_backbone(model)
    for fused in (model, copy.deepcopy(model)):
        getattr(fused, call)(tiny_clips(1))
        fused.blocks.requires_grad_(True)
        with pytest.raises(RuntimeError, match='cannot be trained'):
            getattr(fused, call)(tiny_clips(1))
        fused.requires_grad_(False).train()
        with pytest.raises(RuntimeError, match='cannot be trained'):
            getattr(fused, call)(tiny_clips(1))
    model.eval()(tiny_clips(1))  # its copy is trained, not it
