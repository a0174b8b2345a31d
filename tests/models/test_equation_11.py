"""The classification token among the keys of time (Equation 11), against the equation over all tokens at once."""

import pytest
import torch
from helpers import WITHOUT_CLS, tiny_backbone, tiny_clips, untrained_backbone, who_sees_whom
from runs import ROOT
from torch import Tensor

from mmtsf.config import load_config
from mmtsf.evaluation.model_costs import count_macs
from mmtsf.models import TimeSformer
from mmtsf.models.layers import AttentionStep, Grid
from mmtsf.registry import MODELS
from mmtsf.weights import build, load_weights, read_checkpoint, translate

CASES = [
    dict(type='DividedAttention'),
    dict(type='DividedAttention', order='space_time'),
    dict(type='DividedAttention', order='parallel'),
    dict(type='AxialAttention'),
]
each_case = pytest.mark.parametrize('attention', CASES, ids=lambda case: '-'.join(case.values()))


def dense_step(name: str, step: AttentionStep, tokens: Tensor, grid: Grid, cls_token: str) -> Tensor:
    """Residual of a step by softmax over all tokens, of which a mask leaves those that are seen."""
    q, k, v = step.qkv(step.norm(tokens))[0].unflatten(-1, (3, step.num_heads, -1)).permute(1, 2, 0, 3)
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5  # (heads, L, L)
    sees = who_sees_whom(name, grid)
    seen_cls = torch.full((len(sees), 1), name not in WITHOUT_CLS or cls_token == 'keys')
    patches = scores[:, 1:].masked_fill(~torch.cat([seen_cls, sees], dim=1), -torch.inf).softmax(-1) @ v
    groups = torch.cat([torch.ones(len(sees), 1, dtype=torch.bool), sees], dim=1).unique(dim=0)
    copies = [scores[:, :1].masked_fill(~group, -torch.inf).softmax(-1) @ v for group in groups]  # of the token
    mixed = torch.cat([torch.stack(copies).mean(0), patches], dim=1).transpose(0, 1).flatten(1)
    residual = step.proj(mixed) if step.temporal_fc is None else step.temporal_fc(step.proj(mixed))
    return torch.cat([residual[:1] * (name not in WITHOUT_CLS), residual[1:]])[None]


def dense_features(backbone: TimeSformer, clip: Tensor, cls_token: str) -> Tensor:
    tokens, grid = backbone.embedding(clip)
    for block in backbone.blocks:
        before = tokens
        for name, step in block.attention.steps.items():
            seen = before if block.attention.parallel else tokens
            tokens = tokens + dense_step(name, step, seen, grid, cls_token)
        tokens = tokens + block.mlp(block.norm(tokens))
    return backbone.norm(tokens[:, 0])


@pytest.mark.parametrize('cls_token', ['copies', 'keys'])
@each_case
def test_features_and_gradients_are_those_of_the_equation(attention: dict, cls_token: str) -> None:
    backbone = tiny_backbone(dict(attention, cls_token=cls_token), num_layers=3).double()
    clip = tiny_clips().double()
    values = [backbone(clip), dense_features(backbone, clip, cls_token)]
    torch.testing.assert_close(values[0], values[1], atol=1e-10, rtol=0)
    scale = torch.linspace(-1, 1, values[0].shape[-1], dtype=torch.double)
    ours, theirs = (
        torch.autograd.grad((value * scale).sum(), list(backbone.parameters()), materialize_grads=True)
        for value in values
    )
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)


@torch.no_grad()
def test_the_token_as_a_key_changes_the_features() -> None:
    models = [tiny_backbone(dict(type='DividedAttention', cls_token=cls_token)) for cls_token in ('copies', 'keys')]
    models[1].load_state_dict(models[0].state_dict())
    clips = tiny_clips()
    assert (models[0](clips) - models[1](clips)).abs().max() > 0.01


@pytest.mark.parametrize('scheme', ['DividedAttention', 'AxialAttention'])
@torch.no_grad()
def test_a_checkpoint_serves_both_and_tells_which_one_it_is(scheme: str, tmp_path) -> None:
    """The parameters are the same, so weights of one start the other."""
    attention = dict(type=scheme, cls_token='keys')
    theirs, clips = tiny_backbone(attention), tiny_clips()
    sizes = dict(num_frames=4, img_size=(32, 64), patch_size=16, embed_dims=48, num_heads=4, num_layers=2)
    state = {f'backbone.{key}': value for key, value in theirs.state_dict().items()}
    torch.save(dict(state_dict=state, meta=dict(backbone=dict(attention=attention, **sizes))), tmp_path / 'a.pth')
    weights = translate(read_checkpoint(str(tmp_path / 'a.pth')))
    ours = build(weights).eval()
    load_weights(weights, ours, may_start_fresh=False)
    assert torch.equal(ours.backbone(clips), theirs(clips))
    plain = tiny_backbone(scheme)
    plain.load_state_dict(theirs.state_dict())
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    assert all(
        torch.equal(value, theirs.state_dict()[name])
        for name, value in untrained_backbone(scheme, init_cfg=init_cfg).state_dict().items()
    )


def test_costs_are_one_more_token_and_one_more_comparison_of_every_patch() -> None:
    macs = {}
    for cls_token in ('copies', 'keys'):
        options = {'start': None, 'model.backbone.attention.cls_token': cls_token}
        config = load_config(str(ROOT / 'configs/timesformer_base_k400.py'), options)
        with torch.device('meta'):
            macs[cls_token] = count_macs(MODELS.build(config.model).eval(), config)
    more = macs['keys'].total() - macs['copies'].total()
    assert more == macs['keys']['attention.time'] - macs['copies']['attention.time']
    assert more == 12 * (3 * 768**2 + 8 * 196 * 2 * 768)  # a block: q, k and v of the token; its scores and values
