"""Attention rollout against products of dense matrices over all tokens."""

from functools import reduce

import pytest
import torch
from helpers import WITHOUT_CLS, assert_close, tiny_backbone, tiny_clips, who_sees_whom
from torch import Tensor

from mmtsf.models import TimeSformer
from mmtsf.models.layers import AttentionStep, ClsKeyStep, Grid
from mmtsf.visualization import attention_of, rollout

ATTENTIONS = {
    'joint': dict(type='JointAttention'),
    'space_only': dict(type='SpaceAttention'),
    'divided': dict(type='DividedAttention'),
    'divided_space_time': dict(type='DividedAttention', order='space_time'),
    'divided_parallel': dict(type='DividedAttention', order='parallel'),
    'local_global': dict(type='LocalGlobalAttention'),
    'axial': dict(type='AxialAttention'),
    'divided_one_cls': dict(type='DividedAttention', cls_token='all'),
    'divided_cls_key': dict(type='DividedAttention', cls_token='keys'),
    'divided_space_time_cls_key': dict(type='DividedAttention', cls_token='keys', order='space_time'),
    'divided_parallel_cls_key': dict(type='DividedAttention', cls_token='keys', order='parallel'),
    'axial_cls_key': dict(type='AxialAttention', cls_token='keys'),
    'axial_one_cls': dict(type='AxialAttention', cls_token='all'),
}
each_attention = pytest.mark.parametrize('attention', ATTENTIONS.values(), ids=ATTENTIONS)


def dense_attention(name: str, step: AttentionStep, tokens: Tensor, grid: Grid) -> Tensor:
    """Row-stochastic ``(L, L)`` for tokens ``(1, L, C)``: what every token takes from every other one in a step."""
    q, k, _ = step.qkv(step.norm(tokens))[0].unflatten(-1, (3, step.num_heads, -1)).unbind(1)  # (L, heads, C / heads)
    logits = torch.einsum('qhc,khc->hqk', q, k) / q.shape[-1] ** 0.5
    sees, lead = who_sees_whom(name, grid), grid.lead
    if getattr(step, 'one_cls', False):
        mask = torch.ones(len(logits[0]), len(logits[0]), dtype=torch.bool)
        mask[lead:, lead:] = sees
        return logits.masked_fill(~mask, -torch.inf).softmax(-1).mean(0)
    if name in WITHOUT_CLS:
        mask = torch.block_diag(torch.eye(lead), sees).bool()
        mask[lead:, :lead] = isinstance(step, ClsKeyStep)
        return logits.masked_fill(~mask, -torch.inf).softmax(-1).mean(0)
    mask = torch.cat([torch.ones(len(sees), lead, dtype=torch.bool), sees], dim=1)
    patches = logits[:, lead:].masked_fill(~mask, -torch.inf).softmax(-1).mean(0)
    # one copy of leading tokens in each group: rows of the mask that differ
    copies = [logits[:, :lead].masked_fill(~group, -torch.inf).softmax(-1).mean(0) for group in mask.unique(dim=0)]
    return torch.cat([torch.stack(copies).mean(0), patches])


def dense_matrices(backbone: TimeSformer, clip: Tensor) -> list[dict[str, Tensor]]:
    """Matrices over all tokens of every step of every block."""
    tokens, grid = backbone.embedding(clip)
    matrices = []
    for block in backbone.blocks:
        before = tokens
        matrices.append({})
        for name, step in block.attention.steps.items():
            seen = before if block.attention.parallel else tokens
            matrices[-1][name] = dense_attention(name, step, seen, grid)
            tokens = tokens + step(seen, grid)
        tokens = tokens + block.mlp(block.norm(tokens))
    assert_close(backbone.norm(tokens[:, 0]), backbone(clip))
    return matrices


def dense_rollout(backbone: TimeSformer, clip: Tensor, followed: list[str] | None = None) -> Tensor:
    """The classification token's row ``(1 + T*H*W,)`` of the product of all blocks."""
    blocks = dense_matrices(backbone, clip)
    identity = torch.eye(len(next(iter(blocks[0].values()))))
    product = identity
    for number, steps in enumerate(blocks):
        is_last = number == len(blocks) - 1
        matrices = [m if is_last or followed is None or n in followed else identity for n, m in steps.items()]
        if backbone.blocks[0].attention.parallel:
            attention = sum(matrices) / len(matrices)
        else:
            attention = reduce(lambda first, then: then @ first, matrices)
        product = (attention + identity) / 2 @ product
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


@pytest.mark.parametrize('name', ['joint', 'divided', 'divided_one_cls', 'divided_parallel_cls_key', 'axial'])
@torch.no_grad()
def test_rollout_with_register_tokens_is_the_product_too(name: str) -> None:
    backbone = tiny_backbone(ATTENTIONS[name], embedding=dict(type='RegisterEmbedding', num_registers=2))
    clip = tiny_clips()
    assert_close(rollout(backbone, clip), dense_rollout(backbone, clip)[3:].reshape(4, 2, 4))


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


@each_attention
@torch.no_grad()
def test_a_part_of_the_rollout_follows_one_step_below_the_last_block(attention: dict) -> None:
    backbone, clip = tiny_backbone(attention, num_layers=3), tiny_clips()
    for name in backbone.blocks[0].attention.steps:
        if backbone.mixes_time:
            expected = dense_rollout(backbone, clip, [name])[1:].reshape(4, 2, 4)
        else:  # its only step
            expected = rollout(backbone, clip)
        assert_close(rollout(backbone, clip, [name]), expected)


@each_attention
@pytest.mark.parametrize('query', [None, (0, 0, 0), [2, 1, 3]])
@torch.no_grad()
def test_the_attention_of_a_token_is_its_row_of_the_dense_matrix(attention: dict, query) -> None:
    backbone, clip = tiny_backbone(attention), tiny_clips()
    for name in backbone.blocks[0].attention.steps:
        weights = attention_of(backbone, clip, 1, name, query)
        if backbone.mixes_time:
            row = 0 if query is None else 1 + (query[0] * 2 + query[1]) * 4 + query[2]
            assert_close(weights, dense_matrices(backbone, clip)[1][name][row, 1:].reshape(4, 2, 4))
        elif query is None:
            frames = [dense_matrices(backbone, frame[:, :, None])[1][name][0, 1:] for frame in clip.unbind(2)]
            assert_close(weights, torch.stack(frames).reshape(4, 2, 4) / 4)
        else:
            matrix = dense_matrices(backbone, clip[:, :, query[0], None])[1][name]
            assert_close(weights[query[0]], matrix[1 + query[1] * 4 + query[2], 1:].reshape(2, 4))
            assert weights.sum() == weights[query[0]].sum()


@each_attention
def test_the_heads_of_a_token_have_the_mean_attention_as_their_mean(attention: dict) -> None:
    backbone, clip = tiny_backbone(attention), tiny_clips()
    name = list(backbone.blocks[0].attention.steps)[-1]
    heads = torch.stack([attention_of(backbone, clip, -1, name, (1, 1, 1), head) for head in range(4)])
    assert_close(heads.mean(0), attention_of(backbone, clip, -1, name, (1, 1, 1)))
    assert heads.std(0).max() > 1e-3


@pytest.mark.parametrize('attention', ['JointAttention', 'DividedAttention', 'SpaceAttention'])
def test_a_few_queries_at_a_time_give_the_same_map(attention: str, monkeypatch) -> None:
    backbone, clip = tiny_backbone(attention), tiny_clips()
    whole = rollout(backbone, clip)
    monkeypatch.setattr('mmtsf.visualization.attention_rollout.SCORES', 300)
    assert_close(rollout(backbone, clip), whole)


@pytest.mark.parametrize(
    ('wrong', 'words'),
    [
        (dict(step='height'), r"step is 'height', expected one of \['time', 'space'\]"),
        (dict(block=2), r'block is 2, expected one of range\(-2, 2\)'),
        (dict(head=4), r'head is 4, expected one of range\(0, 4\)'),
        (dict(query=(0, 2, 0)), r'query is 2, expected one of range\(0, 2\)'),
    ],
)
def test_what_a_model_does_not_have_is_refused(wrong, words) -> None:
    with pytest.raises(ValueError, match=words):
        attention_of(tiny_backbone('DividedAttention'), tiny_clips(), **dict(block=0, step='time') | wrong)
    with pytest.raises(ValueError, match=r"steps are \['height'\], expected some of \['space', 'time'\]"):
        rollout(tiny_backbone('DividedAttention'), tiny_clips(), ['height'])
