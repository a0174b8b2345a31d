"""What is compiled computes what the plain model does: the backbone in one graph, or its blocks with shared code."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from helpers import SCHEMES, assert_close, tiny_backbone, tiny_clips
from runs import ROOT
from torch import nn
from torch._dynamo.utils import counters

from mmtsf import compat
from mmtsf.models.kernels.compile_blocks import compile_blocks
from mmtsf.models.layers import DropPath, Grid

#: What users get by default; without a C++ compiler, all of it but the generated code
BACKEND = 'inductor' if shutil.which('g++') else 'aot_eager'


@pytest.fixture(autouse=True)
def compile_afresh() -> None:
    torch.compiler.reset()


@pytest.mark.parametrize(
    ('attention', 'backend'),
    [
        ('DividedAttention', 'aot_eager'),  # of generated code see the word of the config
        *(
            pytest.param(name, BACKEND, marks=pytest.mark.long, id=str(name))
            for name in (*SCHEMES, dict(type='DividedAttention', cls_token='keys'))
        ),
    ],
)
@torch.no_grad()
def test_features_are_the_same_when_compiled(attention: str | dict, backend: str) -> None:
    model, clips = tiny_backbone(attention, embed_dims=16, num_heads=2, num_layers=1), tiny_clips()
    assert_close(torch.compile(model, fullgraph=True, backend=backend)(clips), model(clips))


@torch.no_grad()
def test_rotary_positions_break_no_graph() -> None:
    attention = dict(type='DividedAttention', cls_token='all')
    model = tiny_backbone(attention, position='rotary', embed_dims=64, num_layers=1)
    clips = tiny_clips()
    assert_close(torch.compile(model, fullgraph=True, backend='eager')(clips), model(clips))


@pytest.mark.parametrize('with_cp', [pytest.param(False, marks=pytest.mark.long), True])
def test_gradients_are_the_same_when_compiled(with_cp: bool) -> None:
    model = tiny_backbone('DividedAttention', num_layers=1, with_cp=with_cp).train()
    for module in model.modules():
        if isinstance(module, DropPath):
            module.rate = 0.5
    compiled, clips = torch.compile(model, fullgraph=True, backend='aot_eager'), tiny_clips(batch=3)
    for actual, expected in zip(gradients(model, compiled, clips), gradients(model, model, clips), strict=True):
        assert_close(actual, expected)


@pytest.mark.parametrize('backend', ['eager', pytest.param(BACKEND, marks=pytest.mark.long)])
@torch.no_grad()
def test_a_compiled_model_takes_clips_of_other_sizes(backend: str) -> None:
    model = tiny_backbone('DividedAttention', num_layers=1)
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    for num_frames, height, width in [(4, 32, 64), (6, 32, 96)]:
        clips = tiny_clips(2, num_frames, height, width)
        assert_close(compiled(clips), model(clips))


@pytest.mark.skipif(BACKEND != 'inductor', reason='needs a C++ compiler')
@torch.no_grad()
def test_a_word_of_the_config_compiles_the_blocks() -> None:
    model, clips = tiny_backbone('JointAttention', num_layers=1), tiny_clips()
    compiled = tiny_backbone('JointAttention', num_layers=1, compiled=True)
    assert compiled.state_dict().keys() == model.state_dict().keys()
    compiled.load_state_dict(model.state_dict())
    counters.clear()
    assert_close(compiled(clips), model(clips))
    assert counters['stats']['unique_graphs'] == 1
    assert not counters['graph_break']


def test_blocks_are_compiled_by_themselves_on_a_gpu_alone() -> None:
    model = tiny_backbone('DividedAttention').train()
    assert model.compiled == 'auto'
    model(tiny_clips())
    assert not any(map(compat.is_compiled, model.blocks))
    with pytest.raises(ValueError, match=r"compiled is 'yes', expected one of \(True, False, 'auto'\)"):
        tiny_backbone('DividedAttention', compiled='yes')


@pytest.mark.parametrize(
    'attention',
    [
        pytest.param(name, marks=[pytest.mark.long] * (name != 'DividedAttention'), id=str(name))
        for name in (*SCHEMES, dict(type='DividedAttention', cls_token='keys'))
    ],
)
def test_blocks_share_their_code_whatever_their_rate_and_the_batch(attention) -> None:
    model = tiny_backbone(attention, drop_path_rate=0.3, num_layers=3).train()
    compile_blocks(model.blocks, torch.device('cpu'), backend='eager', fullgraph=True)
    counters.clear()
    for batch in (4, 3, 5):
        model(tiny_clips(batch)).square().sum().backward()
    assert counters['stats']['unique_graphs'] == 2  # of the last block, for one token, and of the others
    plain = tiny_backbone(attention, num_layers=3)
    plain.load_state_dict(model.state_dict())
    model.eval()
    with torch.no_grad():
        for batch in (4, 3, 5):
            clips = tiny_clips(batch)
            assert_close(model(clips), plain(clips))
    assert counters['stats']['unique_graphs'] == 4
    assert not counters['graph_break']


@pytest.mark.long  # 6 to 15 s each
@pytest.mark.parametrize(
    'changes',
    [
        dict(with_cp=True, num_layers=1),  # of a whole block see what it keeps
        dict(with_cp=True, num_layers=2),
        dict(num_layers=2),
    ],
    ids=str,
)
def test_gradients_of_compiled_blocks_are_those_of_plain_ones(changes) -> None:
    model, compiled = (tiny_backbone('DividedAttention', **changes, drop_path_rate=0.0).train() for _ in range(2))
    compiled.load_state_dict(model.state_dict())
    compile_blocks(compiled.blocks, torch.device('cpu'), backend='aot_eager')
    clips = tiny_clips(3)
    for actual, expected in zip(gradients(compiled, compiled, clips), gradients(model, model, clips), strict=True):
        assert_close(actual, expected, atol=1e-5 * max(1, float(expected.abs().max())))


def test_compiled_blocks_drop_as_many_rows_as_the_rate_says() -> None:
    drop = DropPath(0.3).train()
    drop.share_code(torch.device('cpu'))
    rows = torch.compile(drop, backend='aot_eager')(torch.ones(20_000, 1, 1))
    assert float((rows == 0).float().mean()) == pytest.approx(0.3, abs=0.02)
    assert float(rows.max()) == pytest.approx(1 / 0.7)
    drop.rate = 0.6
    rows = torch.compile(drop, backend='aot_eager')(torch.ones(20_000, 1, 1))
    assert float((rows == 0).float().mean()) == pytest.approx(0.6, abs=0.02)


def test_compiled_blocks_keep_products_alone_for_the_same_gradients() -> None:
    """Of a block nothing is kept that norms and activations made."""
    model = tiny_backbone('DividedAttention', num_layers=1, drop_path_rate=0.0).train()
    block, tokens = model.blocks[0], torch.randn(3, 33, 48, requires_grad=True)
    operands = [tokens, *block.parameters()]
    expected = torch.autograd.grad(block(tokens, Grid(4, 2, 4)).square().sum(), operands)
    compile_blocks([block], torch.device('cpu'), backend='aot_eager')
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: (kept.append(x), x)[1], lambda x: x):
        result = block(tokens, Grid(4, 2, 4))
    weights = {p.data_ptr() for p in model.parameters()}
    size = sum(x.numel() for x in kept if x.data_ptr() not in weights and x.numel() >= tokens.numel() // 2)
    # three residuals, twice queries, keys, values and what they mix, its projection in time, and the hidden layer
    assert size / tokens.numel() < 3 + 2 * 4 + 2 + 4 + 1
    for actual, wanted in zip(torch.autograd.grad(result.square().sum(), operands), expected, strict=True):
        assert_close(actual, wanted, atol=1e-5 * max(1, float(wanted.abs().max())))


@pytest.mark.long
@pytest.mark.skipif(BACKEND != 'inductor', reason='needs a C++ compiler')
def test_the_second_start_takes_compiled_code_from_the_disk(tmp_path) -> None:
    """In another process."""
    script = """
import sys, torch
sys.path.insert(0, 'tests')
from mmengine.registry import init_default_scope
from torch._dynamo.utils import counters
from helpers import tiny_backbone, tiny_clips
init_default_scope('mmtsf')
torch.manual_seed(0)
model = tiny_backbone('DividedAttention', num_layers=2, compiled=True).train()
model(tiny_clips(2)).sum().backward()
print(counters['inductor']['fxgraph_cache_miss'], counters['inductor']['fxgraph_cache_hit'])
"""
    found = []
    for _ in range(2):
        environment = dict(os.environ, TORCHINDUCTOR_CACHE_DIR=str(tmp_path))
        run = subprocess.run([sys.executable, '-c', script], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        found.append(tuple(map(int, run.stdout.split()[-2:])))
    (missed, _), (missed_again, hit) = found
    assert missed > 0
    assert missed_again == 0
    assert hit > 0


def gradients(model: nn.Module, function: nn.Module, clips: torch.Tensor) -> list[torch.Tensor]:
    """Of the sum of the squared features, with the same rows dropped at every call."""
    torch.manual_seed(1)
    return torch.autograd.grad(function(clips).square().sum(), list(model.parameters()))
