"""What PyTorch's users do with models: hooks, adapters, other layers, derivatives, traces, counters, spread weights."""

import copy
import io
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.distributed as dist
import torch.nn.utils.parametrizations as parametrizations
from helpers import SCHEMES, assert_close, randomise
from mmengine.analysis import get_model_complexity_info
from torch import Tensor, nn
from torch.autograd import forward_ad, functional
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.utils import prune, spectral_norm, weight_norm
from torch.utils.flop_counter import FlopCounterMode

from mmtsf.models import TimeSformer
from mmtsf.models.layers import Grid
from mmtsf.registry import MODELS

each_scheme = pytest.mark.parametrize('scheme', SCHEMES)
each_mode = pytest.mark.parametrize('training', [True, False], ids=['train', 'eval'])


def tiny(scheme: str = 'DividedAttention', dtype: torch.dtype = torch.float64, **changes) -> TimeSformer:
    """Two blocks of width 8 for clips of 2 frames of 2 x 2 patches, always with the same random weights."""
    sizes = dict(num_frames=2, img_size=8, patch_size=4, embed_dims=8, num_heads=2, num_layers=2, drop_path_rate=0.0)
    torch.manual_seed(0)
    return randomise(MODELS.build(dict(type='TimeSformer', attention=dict(type=scheme), **sizes | changes))).to(dtype)


def clips(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, 3, 2, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def linears(model: nn.Module) -> Iterator[nn.Linear]:
    """Linear layers of the blocks, which may be changed meanwhile."""
    return (module for module in list(model.modules()) if type(module) is nn.Linear)


def put(model: nn.Module, kind: type, make: Callable[[nn.Module], nn.Module]) -> None:
    """Put other modules in the place of all of a class."""
    for name, module in list(model.named_modules()):
        if type(module) is kind:
            model.set_submodule(name, make(module))


def value(model: nn.Module) -> Tensor:
    """A number that depends on all features, with the same rows dropped at every call."""
    torch.manual_seed(2)
    return model(clips()).mul(torch.linspace(-1, 1, 16, dtype=torch.float64).view(2, 8)).sum()


def assert_gradients_are_differences(model: nn.Module, step: float = 1e-6) -> None:
    """Along a random direction of each parameter."""
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(value(model), list(parameters.values()), materialize_grads=True)
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        direction = torch.randn_like(parameter)
        values = []
        with torch.no_grad():
            for shift in (step, -2 * step):
                parameter += shift * direction
                values.append(value(model))
            parameter += step * direction
        difference = (values[0] - values[1]) / (2 * step)
        torch.testing.assert_close((gradient * direction).sum(), difference, atol=1e-6, rtol=1e-5, msg=name)


HOOKS = (
    nn.Module.register_forward_hook,
    nn.Module.register_forward_pre_hook,
    nn.Module.register_full_backward_hook,
    nn.Module.register_full_backward_pre_hook,
)


@each_mode
@each_scheme
def test_every_hook_fires_once_on_every_layer(scheme: str, training: bool) -> None:
    for register in HOOKS:
        model = tiny(scheme).train(training)
        layers = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.LayerNorm, nn.Conv2d, nn.GELU))]
        fired: Counter[nn.Module] = Counter()
        for layer in layers:
            register(layer, lambda module, *_, fired=fired: fired.update([module]))
        result = value(model)
        result.backward()
        assert fired == dict.fromkeys(layers, 1)
        assert_close(result, value(tiny(scheme)), atol=1e-12)


def test_hooks_of_all_modules_fire() -> None:
    model, fired = tiny(), Counter()
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: fired.update([module]))
    value(model)
    handle.remove()
    assert all(fired[layer] == 1 for layer in linears(model))


def test_a_hooked_last_block_gives_all_tokens() -> None:
    model, shapes = tiny(), []
    model.blocks[-1].register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
    value(model)
    assert shapes == [(2, 1 + 2 * 2 * 2, 8)]


class _Doubled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def _doubled(layer: nn.Module) -> nn.Linear:
    doubled = _Doubled(layer.in_features, layer.out_features).double()
    doubled.load_state_dict(layer.state_dict())
    return doubled


def _double_forward(model: nn.Module) -> None:
    for layer in linears(model):
        layer.forward = lambda x, forward=layer.forward: 2 * forward(x)


def _each(change: Callable) -> Callable[[nn.Module], list]:
    return lambda model: [change(layer) for layer in linears(model)]


CHANGES = {
    'subclass': lambda model: put(model, nn.Linear, _doubled),
    'forward of its own': _double_forward,
    'pruned': _each(lambda layer: prune.l1_unstructured(layer, 'weight', 0.5)),
    'spectral_norm, old': _each(spectral_norm),
    'spectral_norm': _each(parametrizations.spectral_norm),
    'PReLU': lambda model: put(model, nn.GELU, lambda _: nn.PReLU().double()),
    'ReLU in place': lambda model: put(model, nn.GELU, lambda _: nn.ReLU(inplace=True)),
    'dropout': lambda model: [block.mlp.insert(2, nn.Dropout(0.5)) for block in model.blocks],
    'RMSNorm': lambda model: put(model, nn.LayerNorm, lambda _: nn.RMSNorm(8).double()),
}


@pytest.mark.parametrize('change', CHANGES.values(), ids=CHANGES)
def test_other_layers_change_the_output_and_have_right_gradients(change: Callable) -> None:
    model = tiny()
    change(model)
    value(model)  # the old spectral norm takes a step of its iteration in training
    model.train('Dropout' in str(model))
    assert (value(model) - value(tiny())).abs() > 1e-4
    assert_gradients_are_differences(model)


@pytest.mark.parametrize('norm', [weight_norm, parametrizations.weight_norm], ids=['old', 'parametrization'])
def test_weight_norm_changes_nothing_and_has_right_gradients(norm: Callable) -> None:
    model = tiny()
    _each(norm)(model)
    assert_close(value(model), value(tiny()), atol=1e-10)
    assert_gradients_are_differences(model)


@pytest.mark.parametrize(('scheme', 'with_cp'), [*((scheme, False) for scheme in SCHEMES), ('DividedAttention', True)])
def test_gradients_are_finite_differences(scheme: str, with_cp: bool) -> None:
    assert_gradients_are_differences(tiny(scheme, with_cp=with_cp).train())


def test_weights_that_change_before_the_backward_pass_are_an_error() -> None:
    for name, _ in tiny().blocks.named_parameters():
        model = tiny()
        result = value(model)
        with torch.no_grad():
            model.blocks.get_parameter(name).mul_(2)
        if not name.endswith('bias'):
            with pytest.raises(RuntimeError, match='modified by an inplace operation'):
                result.backward()


@each_scheme
def test_lora_trains_merges_and_unloads(scheme: str) -> None:
    peft = pytest.importorskip('peft')
    model, inputs = tiny(scheme, torch.float32), clips(torch.float32)
    config = peft.LoraConfig(r=2, target_modules=['qkv', 'proj', 'mlp.0', 'mlp.2', 'temporal_fc'])
    adapted = peft.get_peft_model(copy.deepcopy(model), config)
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    for _ in range(2):  # one half of an adapter begins as zero
        before = [parameter.clone() for parameter in trained]
        adapted(inputs).square().sum().backward()
        optimizer.step()
    assert not any(torch.equal(*pair) for pair in zip(trained, before, strict=True))
    output = adapted(inputs)
    assert (output - model(inputs)).abs().max() > 1e-3
    assert_close(copy.deepcopy(adapted).unload()(inputs), model(inputs))
    assert_close(adapted.merge_and_unload()(inputs), output, atol=1e-4)


@each_scheme
def test_second_derivatives(scheme: str) -> None:
    block = tiny(scheme, embed_dims=4).blocks[0]
    tokens = torch.randn(1, 1 + 2 * 2 * 2, 4, dtype=torch.float64, requires_grad=True)

    def features(tokens: Tensor) -> Tensor:
        return block(tokens, Grid(2, 2, 2))[:, :2, :2]

    assert torch.autograd.gradcheck(features, tokens, check_batched_grad=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(features, tokens, check_batched_grad=True)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16])
def test_a_hessian_vector_product_is_the_difference_of_gradients(dtype: torch.dtype) -> None:
    model, exact = tiny(dtype=dtype), tiny()
    products = []
    for one, inputs in ((model, clips(dtype)), (exact, clips())):
        layers = [parameter for name, parameter in one.named_parameters() if name.endswith('weight')]
        gradients = torch.autograd.grad(one(inputs).square().sum(), layers, create_graph=True)
        length = sum(gradient.double().square().sum() for gradient in gradients)
        products.append(torch.cat([x.double().flatten() for x in torch.autograd.grad(length, layers)]))
    error = (products[0] - products[1]).norm() / products[1].norm()
    assert error < {torch.float64: 1e-12, torch.float32: 1e-3, torch.bfloat16: 0.3}[dtype]


@each_scheme
def test_transforms_of_torch_func(scheme: str) -> None:
    model = tiny(scheme)
    parameters = dict(model.named_parameters())

    def loss(parameters: dict[str, Tensor], clip: Tensor) -> Tensor:
        return torch.func.functional_call(model, parameters, clip[None]).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, clips())
    expected = torch.autograd.grad(model(clips()).square().sum(), list(parameters.values()), materialize_grads=True)
    for name, gradient in zip(parameters, expected, strict=True):
        assert_close(each[name].sum(dim=0), gradient, atol=1e-9)


def test_hessians_and_derivatives_in_forward_mode() -> None:
    model, inputs, one = tiny(), clips(), torch.ones((), dtype=torch.float64)

    def feature(scale: Tensor) -> Tensor:
        return model(inputs * scale)[0, 0]

    gradient = torch.func.grad(feature)
    difference = (gradient(one + 1e-5) - gradient(one - 1e-5)) / 2e-5
    assert_close(torch.func.hessian(feature)(one), difference, atol=1e-5)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(feature(forward_ad.make_dual(one, one))).tangent
    assert_close(tangent, gradient(one), atol=1e-9)


@pytest.mark.parametrize('strategy', ['reverse-mode', 'forward-mode'])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
def test_jacobians_of_all_rows_at_once(dtype: torch.dtype, strategy: str) -> None:
    model, inputs = tiny(dtype=dtype), clips(dtype)[:1]
    rows = functional.jacobian(model, inputs)
    assert_close(functional.jacobian(model, inputs, vectorize=True, strategy=strategy), rows, atol=1e-4)


@each_scheme
def test_the_old_onnx_export_computes_the_same(scheme: str) -> None:
    onnxruntime = pytest.importorskip('onnxruntime')
    model, inputs, file = tiny(scheme, torch.float32).eval(), clips(torch.float32), io.BytesIO()
    torch.onnx.export(model, (inputs,), file, dynamo=False, opset_version=17)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=['CPUExecutionProvider'])
    (features,) = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
    assert_close(torch.from_numpy(features), model(inputs), atol=1e-4)


@each_scheme
def test_counters_see_every_product(scheme: str) -> None:
    model, products = tiny(scheme), Counter()
    with FlopCounterMode(display=False) as counter:
        value(model)
    table = get_model_complexity_info(model, inputs=(clips(),), show_table=False, show_arch=False)

    def count(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        products['layers'] += output.numel() * layer.weight[0].numel()

    def count_attention(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        products['attention'] += 2 * inputs[0].shape[1] * inputs[0].numel()  # scores, and sums of values

    for name, layer in model.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            layer.register_forward_hook(count)
        if name.endswith('.proj'):
            layer.register_forward_hook(count_attention)
    value(model)
    assert counter.get_total_flops() == 2 * products.total()
    counted = table['flops']  # multiply-accumulates; it knows no attention, and adds norms
    assert products['layers'] < counted < 1.2 * products['layers']


def test_tensorboard_draws_the_graph() -> None:
    tensorboard = pytest.importorskip('torch.utils.tensorboard')
    with tempfile.TemporaryDirectory() as folder, tensorboard.SummaryWriter(folder) as writer:
        writer.add_graph(tiny().eval(), clips())


@each_scheme
def test_dynamic_quantisation_quantises(scheme: str) -> None:
    model, inputs = tiny(scheme, torch.float32).eval(), clips(torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        quantised = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear}, torch.qint8)
    assert not list(linears(quantised))
    assert 0 < (quantised(inputs) - model(inputs)).abs().max() < 0.1


def test_weights_that_are_offloaded_come_when_a_layer_is_called() -> None:
    accelerate = pytest.importorskip('accelerate')
    model, inputs = tiny().eval(), clips()
    accelerate.cpu_offload(model, torch.device('cpu'))
    assert all(layer.weight.is_meta for layer in linears(model))
    with torch.no_grad():
        assert_close(model(inputs), tiny().eval()(inputs), atol=1e-12)


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    """A process group of this process alone."""
    dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh('cpu', (1,))
    dist.destroy_process_group()


def _fsdp(model: nn.Module, mesh: DeviceMesh) -> None:
    for layer in [*linears(model), model]:
        fully_shard(layer, mesh=mesh)


def _tensor_parallel(model: nn.Module, mesh: DeviceMesh) -> None:
    for block in model.blocks:
        parallelize_module(block.mlp, mesh, {'0': ColwiseParallel(), '2': RowwiseParallel()})


@pytest.mark.parametrize('spread', [_fsdp, _tensor_parallel], ids=['FSDP2 by linear layer', 'tensor-parallel MLP'])
def test_weights_that_are_spread_over_processes_train(spread: Callable, mesh: DeviceMesh) -> None:
    models, gradients = (tiny(), tiny()), []
    spread(models[1], mesh)
    for model in models:
        value(model).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for expected, gradient in zip(*gradients, strict=True):
        whole = gradient.full_tensor() if isinstance(gradient, DTensor) else gradient
        assert_close(whole, expected, atol=1e-10)
