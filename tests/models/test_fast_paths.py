"""What makes the model fast changes none of its outputs and gradients."""

from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from helpers import SCHEMES, assert_close, randomise, tiny_backbone, tiny_clips
from mmaction.structures import ActionDataSample
from mmengine.registry import init_default_scope
from torch import nn

from mmtsf.config import load_config
from mmtsf.deploy.fuse import fuse_backbone
from mmtsf.engine.hooks import FuseHook
from mmtsf.models.kernels.attend import attend
from mmtsf.models.kernels.linear import linear, patches_by_product
from mmtsf.models.kernels.through import through
from mmtsf.models.layers import MLP, DropPath, GatedMLP
from mmtsf.registry import MODELS

ATTENTIONS = [dict(type=scheme) for scheme in SCHEMES]
ATTENTIONS += [dict(type='DividedAttention', order=order) for order in ('space_time', 'parallel')]
ATTENTIONS += [dict(type='DividedAttention', cls_token=cls_token) for cls_token in ('all', 'keys')]
ATTENTIONS += [dict(type='DividedAttention', cls_token='keys', order='space_time')]
each_attention = pytest.mark.parametrize('attention', ATTENTIONS, ids=lambda config: '-'.join(config.values()))


@each_attention
@torch.no_grad()
def test_a_fused_model_computes_the_same(attention: dict) -> None:
    model, clips = tiny_backbone(attention), tiny_clips(2)
    expected = model(clips)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    fuse_backbone(model)
    assert_close(model(clips), expected)
    assert not any('temporal_fc' in name for name, _ in model.named_parameters())
    assert sum(parameter.numel() for parameter in model.parameters()) <= parameters


@pytest.mark.parametrize('to_rgb', [False, True])
@torch.no_grad()
def test_a_fused_recognizer_takes_pixels_and_gives_the_same_scores(to_rgb: bool) -> None:
    init_default_scope('mmtsf')
    config = load_config('configs/timesformer_tiny_motion.py').model
    config.data_preprocessor.update(mean=[100, 110, 120], std=[50, 60, 70], to_rgb=to_rgb)
    recognizer = randomise(MODELS.build(config)).eval()
    clips = [torch.randint(0, 256, (3, 3, 8, 48, 48), dtype=torch.uint8) for _ in range(2)]
    samples = [ActionDataSample(), ActionDataSample()]
    expected = [scores.clone() for scores in scores_of(recognizer, clips, samples)]
    FuseHook().before_test(SimpleNamespace(model=recognizer, test_dataloader=[]))
    data = recognizer.data_preprocessor(dict(inputs=clips, data_samples=samples))
    assert data['inputs'].dtype == torch.uint8
    for got, value in zip(scores_of(recognizer, clips, samples), expected, strict=True):
        assert_close(got, value)
    assert max(float(value.max()) for value in expected) < 0.999  # not all alike


def scores_of(recognizer: nn.Module, clips: list[torch.Tensor], samples: list) -> list[torch.Tensor]:
    return [sample.pred_scores.item for sample in recognizer.test_step(dict(inputs=clips, data_samples=samples))]


@each_attention
def test_a_last_block_for_one_token_gives_that_token_and_its_gradients(attention: dict) -> None:
    model, clips = tiny_backbone(attention), tiny_clips(2)
    whole = model.encode(clips)[0][:, :1]
    alone = model.encode(clips, only_cls=True)[0]
    assert_close(alone, whole, atol=1e-4)
    for expected, got in zip(gradients(whole, model), gradients(alone, model), strict=True):
        torch.testing.assert_close(got, expected, atol=1e-3, rtol=1e-3)


def gradients(tokens: torch.Tensor, model: nn.Module) -> list[torch.Tensor]:
    scale = torch.linspace(-1, 1, tokens.shape[-1])
    return list(torch.autograd.grad((tokens * scale).sum(), list(model.blocks.parameters()), materialize_grads=True))


@pytest.mark.parametrize('shape', [(3, 2, 5, 7), (700, 4, 9, 9), (1, 3, 1100, 1100), (2, 2, 1, 50)])
@torch.no_grad()
def test_attention_in_parts_is_attention(shape: tuple[int, ...]) -> None:
    """In bfloat16 on the CPU, to that type's precision."""
    groups, heads, queries, keys = shape
    q = torch.randn(groups, heads, queries, 16).bfloat16()
    k, v = (torch.randn(groups, heads, keys, 16).bfloat16() for _ in 'kv')
    expected = F.scaled_dot_product_attention(q.float(), k.float(), v.float())
    torch.testing.assert_close(attend(q, k, v).float(), expected, atol=0.03, rtol=0.03)


def test_attention_learns_in_bfloat16_as_in_float32() -> None:
    qkv = torch.randn(3, 4, 2, 9, 16, requires_grad=True)
    expected = torch.autograd.grad(F.scaled_dot_product_attention(*qkv).square().sum(), qkv)[0]
    low = qkv.detach().bfloat16().requires_grad_()
    got = torch.autograd.grad(attend(*low).float().square().sum(), low)[0]
    torch.testing.assert_close(got.float(), expected, atol=0.1, rtol=0.1)


@pytest.mark.parametrize('mlp', [MLP, GatedMLP])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_an_mlp_that_keeps_less_has_the_same_gradients(mlp: type, dtype: torch.dtype) -> None:
    layers, norm = randomise(mlp(8)).to(dtype), randomise(nn.LayerNorm(8)).to(dtype)
    x = torch.randn(2, 5, 8, dtype=dtype, requires_grad=True)
    plain, frugal = layers(norm(x)), through(x, norm, layers)
    assert_close(frugal, plain, atol=1e-4)
    wanted = [x, *norm.parameters(), *layers.parameters()]
    expected = torch.autograd.grad(plain.square().sum(), wanted)
    for got, value in zip(torch.autograd.grad(frugal.square().sum(), wanted), expected, strict=True):
        torch.testing.assert_close(got, value, atol=1e-3, rtol=1e-3)


def kept(y: torch.Tensor, known: list[torch.Tensor]) -> int:
    """Values that the graph of ``y`` keeps for its backward pass beside those that are ``known``."""
    seen = {tensor.untyped_storage().data_ptr() for tensor in known}
    nodes, storages = [y.grad_fn], {}
    for node in nodes:
        nodes += [following for following, _ in node.next_functions if following and following not in nodes]
        saved = [getattr(node, name) for name in dir(node) if name.startswith('_raw_saved')]
        for tensor in [one for part in saved for one in (part if isinstance(part, tuple) else (part,))]:
            with suppress(RuntimeError):  # one that is computed again has hooks
                tensor.register_hooks(lambda value: storages.update({value.data_ptr(): value.numel()}), lambda _: None)
    return sum(size for place, size in storages.items() if place not in seen)


def test_normalised_and_hidden_values_are_not_kept() -> None:
    layers, norm, x = MLP(64), nn.LayerNorm(64), torch.randn(10, 64, requires_grad=True)
    known = [x, *layers.parameters(), *norm.parameters()]
    statistics, hidden = 2 * 10, 10 * 256
    assert kept(layers(norm(x)), known) == statistics + 10 * 64 + 2 * hidden
    assert kept(through(x, norm, layers), known) == statistics + hidden


def test_two_linear_layers_around_drop_path_keep_nothing_between_them() -> None:
    first, second, x = nn.Linear(8, 8), nn.Linear(8, 8), torch.randn(5, 3, 8, requires_grad=True)
    y = through(x, first, DropPath(0).train(), second)
    assert_close(y, second(first(x)))
    assert kept(y, [x, *first.parameters(), *second.parameters()]) == 8 * 8  # the product of their weights


@pytest.mark.parametrize('bias', [True, False])
def test_a_linear_layer_is_torchs(bias: bool) -> None:
    layer = nn.Linear(6, 7, bias=bias)
    x = torch.randn(4, 3, 6, requires_grad=True)
    wanted = [x, *layer.parameters()]
    y = linear(x, layer.weight, layer.bias)
    assert_close(y, layer(x))
    expected = torch.autograd.grad(layer(x).square().sum(), wanted)
    for got, value in zip(torch.autograd.grad(y.square().sum(), wanted), expected):
        assert_close(got, value, atol=1e-4)


def test_autocast_computes_in_bfloat16() -> None:
    norm, layer = nn.LayerNorm(6), nn.Linear(6, 7)
    x = torch.randn(4, 6, requires_grad=True)
    with torch.autocast('cpu', torch.bfloat16):
        y, expected = through(x, norm, layer), layer(norm(x))
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, expected)
    gradients = [torch.autograd.grad(one.float().square().sum(), [x, layer.weight]) for one in (y, expected)]
    for got, value in zip(*gradients, strict=True):
        assert got.dtype == torch.float32
        assert_close(got, value)


@pytest.mark.skipif(not Path('/proc/self/clear_refs').exists(), reason='needs the peak memory of Linux')
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('attention', SCHEMES)
@torch.no_grad()
def test_no_matrix_of_all_tokens_by_all_tokens_is_made(attention: str, dtype: torch.dtype) -> None:
    """Of 12,801 tokens and two heads it would take 1,311 MB in float32, half of that in bfloat16."""
    model = tiny_backbone(attention, embed_dims=16, num_heads=2, num_layers=1, patch_size=8).to(dtype)
    clips = tiny_clips(1, 2, 640, 640).to(dtype)
    before = resident_megabytes('VmRSS')
    Path('/proc/self/clear_refs').write_text('5')  # the peak begins anew
    model(clips)
    assert resident_megabytes('VmHWM') - before < 200


def resident_megabytes(kind: str) -> float:
    return int(Path('/proc/self/status').read_text().split(f'{kind}:')[1].split()[0]) / 1e3


def test_a_product_of_pixels_is_the_patch_embedding() -> None:
    patch = nn.Conv2d(3, 8, 4, 4)
    frames = torch.randn(2, 3, 8, 12)
    expected = patch(frames).permute(0, 2, 3, 1)
    assert_close(patches_by_product(frames, patch), expected)


@torch.no_grad()
def test_tokens_between_blocks_are_bfloat16_where_that_was_asked_for() -> None:
    model = tiny_backbone('DividedAttention', residual_dtype='bfloat16').train()
    clips = tiny_clips()
    seen = []
    model.blocks[1].register_forward_pre_hook(lambda module, given: seen.append(given[0].dtype))
    with torch.autocast('cpu', torch.bfloat16):
        low = model(clips)
    assert seen == [torch.bfloat16]
    with pytest.raises(RuntimeError, match='residual_dtype is bfloat16, which takes training under bfloat16 autocast'):
        model(clips)
    full = model.eval()(clips)
    assert seen[1:] == [torch.float32]
    assert float((low - full).abs().max() / full.abs().max()) < 0.1
    with pytest.raises(ValueError, match="residual_dtype is 'float16', expected one of"):
        tiny_backbone('DividedAttention', residual_dtype='float16')
