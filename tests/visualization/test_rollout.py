"""Attention rollout against products of dense matrices over all tokens."""

from functools import reduce

import pytest
import torch
from helpers import WITHOUT_CLS, assert_close, tiny_backbone, tiny_clips, who_sees_whom
from torch import Tensor

from mmtsf.models import TimeSformer
from mmtsf.models.layers import AttentionStep, Grid
from mmtsf.visualization import rollout

ATTENTIONS = {
    'joint': dict(type='JointAttention'),
    'space_only': dict(type='SpaceAttention'),
    'divided': dict(type='DividedAttention'),
    'divided_space_time': dict(type='DividedAttention', order='space_time'),
    'divided_parallel': dict(type='DividedAttention', order='parallel'),
    'local_global': dict(type='LocalGlobalAttention'),
    'axial': dict(type='AxialAttention'),
    'divided_one_cls': dict(type='DividedAttention', cls_token='all'),
    'axial_one_cls': dict(type='AxialAttention', cls_token='all'),
}
each_attention = pytest.mark.parametrize('attention', ATTENTIONS.values(), ids=ATTENTIONS)


def dense_attention(name: str, step: AttentionStep, tokens: Tensor, grid: Grid) -> Tensor:
    """Row-stochastic ``(L, L)`` for tokens ``(1, L, C)``: what every token takes from every other one in a step."""
    q, k, _ = step.qkv(step.norm(tokens))[0].unflatten(-1, (3, step.num_heads, -1)).unbind(1)  # (L, heads, C / heads)
    logits = torch.einsum('qhc,khc->hqk', q, k) / q.shape[-1] ** 0.5
    sees = who_sees_whom(name, grid)
    if step.cls_sees_all:
        mask = torch.ones(len(logits[0]), len(logits[0]), dtype=torch.bool)
        mask[1:, 1:] = sees
        return logits.masked_fill(~mask, -torch.inf).softmax(-1).mean(0)
    if name in WITHOUT_CLS:
        mask = torch.block_diag(torch.ones(1, 1), sees).bool()
        return logits.masked_fill(~mask, -torch.inf).softmax(-1).mean(0)
    mask = torch.cat([torch.ones(len(sees), 1, dtype=torch.bool), sees], dim=1)
    patches = logits[:, 1:].masked_fill(~mask, -torch.inf).softmax(-1).mean(0)
    # one copy of the classification token in each group: rows of the mask that differ
    copies = [logits[:, 0].masked_fill(~group, -torch.inf).softmax(-1).mean(0) for group in mask.unique(dim=0)]
    return torch.cat([torch.stack(copies).mean(0, keepdim=True), patches])


def dense_rollout(backbone: TimeSformer, clip: Tensor) -> Tensor:
    """The classification token's row ``(1 + T*H*W,)`` of the product of all blocks."""
    tokens, grid = backbone.embedding(clip)
    product = torch.eye(tokens.shape[1])
    for block in backbone.blocks:
        steps, before, matrices = block.attention.steps.items(), tokens, []
        for name, step in steps:
            seen = before if block.attention.parallel else tokens
            matrices.append(dense_attention(name, step, seen, grid))
            tokens = tokens + step(seen, grid)
        tokens = tokens + block.mlp(block.norm(tokens))
        if block.attention.parallel:
            attention = sum(matrices) / len(matrices)
        else:
            attention = reduce(lambda first, then: then @ first, matrices)
        product = (attention + torch.eye(len(attention))) / 2 @ product
    assert_close(backbone.norm(tokens[:, 0]), backbone(clip))
    return product[0]


@each_attention
@torch.no_grad()
def test_rollout_is_the_product_of_the_dense_matrices(attention: dict) -> None:
    backbone, clip = tiny_backbone(attention, num_layers=3), tiny_clips()
    if attention['type'] == 'SpaceAttention':  # every frame by itself
        rows = torch.stack([dense_rollout(backbone, frame[:, :, None]) for frame in clip.unbind(2)]) / 4
    else:
        rows = dense_rollout(backbone, clip)[None]
    weights = rollout(backbone, clip)
    assert_close(weights, rows[:, 1:].reshape(4, 2, 4))
    assert weights.sum().item() == pytest.approx(1 - rows[:, 0].sum().item(), abs=1e-5)
    assert weights.std() > 1e-3  # not uniform


@each_attention
@pytest.mark.parametrize(('num_frames', 'height', 'width'), [(2, 64, 32), (6, 32, 96)])
def test_the_map_has_the_clips_size_and_the_models_hooks_are_gone(
    attention: dict, num_frames: int, height: int, width: int
) -> None:
    backbone = tiny_backbone(attention)
    weights = rollout(backbone, tiny_clips(1, num_frames, height, width))
    assert weights.shape == (num_frames, height // 16, width // 16)
    assert (weights > 0).all()
    assert weights.sum() < 1
    assert not any(module._forward_pre_hooks for module in backbone.modules())
