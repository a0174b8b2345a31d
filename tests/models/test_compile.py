"""The compiled backbone computes what the plain one computes, in one graph."""

import shutil

import pytest
import torch
from helpers import SCHEMES, assert_close, tiny_backbone, tiny_clips
from torch import nn

#: What users get by default; without a C++ compiler, all of it but the generated code
BACKEND = 'inductor' if shutil.which('g++') else 'aot_eager'


@pytest.fixture(autouse=True)
def compile_afresh() -> None:
    torch.compiler.reset()


@pytest.mark.parametrize('attention', [*SCHEMES, dict(type='DividedAttention', cls_token='keys')], ids=str)
@torch.no_grad()
def test_features_are_the_same_when_compiled(attention: str) -> None:
    model, clips = tiny_backbone(attention, embed_dims=16, num_heads=2, num_layers=1), tiny_clips()
    assert_close(torch.compile(model, fullgraph=True, backend=BACKEND)(clips), model(clips))


@pytest.mark.parametrize('with_cp', [False, True])
def test_gradients_are_the_same_when_compiled(with_cp: bool) -> None:
    model = tiny_backbone('DividedAttention', drop_path_rate=0.5, with_cp=with_cp).train()
    compiled, clips = torch.compile(model, fullgraph=True, backend='aot_eager'), tiny_clips(batch=3)
    for actual, expected in zip(gradients(model, compiled, clips), gradients(model, model, clips), strict=True):
        assert_close(actual, expected)


@torch.no_grad()
def test_a_compiled_model_takes_clips_of_other_sizes() -> None:
    model = tiny_backbone('DividedAttention', num_layers=1)
    compiled = torch.compile(model, fullgraph=True, backend='aot_eager')
    for num_frames, height, width in [(4, 32, 64), (6, 32, 96)]:
        clips = tiny_clips(2, num_frames, height, width)
        assert_close(compiled(clips), model(clips))


@pytest.mark.skipif(BACKEND != 'inductor', reason='needs a C++ compiler')
@torch.no_grad()
def test_a_word_of_the_config_compiles() -> None:
    model, clips = tiny_backbone('DividedAttention', num_layers=1), tiny_clips()
    compiled = tiny_backbone('DividedAttention', num_layers=1, compiled=True)
    assert compiled.state_dict().keys() == model.state_dict().keys()
    compiled.load_state_dict(model.state_dict())
    torch._dynamo.utils.counters.clear()
    assert_close(compiled(clips), model(clips))
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] == 1
    assert not torch._dynamo.utils.counters['graph_break']


def gradients(model: nn.Module, function: nn.Module, clips: torch.Tensor) -> list[torch.Tensor]:
    """Of the sum of the squared features, with the same rows dropped at every call."""
    torch.manual_seed(1)
    return torch.autograd.grad(function(clips).square().sum(), list(model.parameters()))
