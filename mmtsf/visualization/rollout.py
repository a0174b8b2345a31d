"""Attention rollout: how much the classification token takes from every patch of every frame."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mmtsf.models import TimeSformer
from mmtsf.models.layers import AttentionStep, Grid


@torch.no_grad()
def rollout(backbone: TimeSformer, clip: Tensor) -> Tensor:
    """Attention of the classification token, rolled out over all blocks (Abnar & Zuidema, arXiv 2005.00928).

    In every block the heads are averaged, the steps multiplied, the identity added and rows normalised; the blocks
    are multiplied. No matrix over all patches is made: one row goes through the groups from the last block to the
    first. Where an attention scheme leaves the classification token out of a step, it keeps its weight.

    Args:
        backbone (TimeSformer): The model.
        clip (Tensor): One clip ``(1, 3, T, H, W)``, normalised.

    Raises:
        ValueError: If there is more than one clip.

    Returns:
        Tensor: Weights ``(T, h, w)`` of the patches; with the classification token's own they sum to 1.
    """
    if len(clip) != 1:
        raise ValueError(f'{len(clip)} clips are given, expected one: shape (1, 3, T, H, W)')
    with _recorded_inputs(backbone) as inputs:
        tokens, grid = backbone.encode(clip)
    row = tokens.new_zeros(len(tokens), 1 + grid.num_patches, 1)
    row[:, 0] = 1 / len(tokens)  # frames that are clips of their own are averaged at the end
    for block in list(backbone.blocks)[::-1]:
        row = (row + _through_scheme(row, block.attention, inputs)) / 2
    return row[:, 1:].reshape(-1, grid.h, grid.w)


@contextmanager
def _recorded_inputs(backbone: TimeSformer) -> Iterator[dict[AttentionStep, tuple[Tensor, Grid]]]:
    """Inputs of all attention steps of the forward passes inside the context, where nothing is dropped."""
    inputs: dict[AttentionStep, tuple[Tensor, Grid]] = {}
    steps = [module for module in backbone.modules() if isinstance(module, AttentionStep)]
    hooks = [step.register_forward_pre_hook(lambda step, args: inputs.update({step: args})) for step in steps]
    training = backbone.training
    backbone.eval()
    try:
        yield inputs
    finally:
        backbone.train(training)
        for hook in hooks:
            hook.remove()


def _through_scheme(row: Tensor, scheme: Any, inputs: dict) -> Tensor:
    """``row @ A`` for the attention matrix A of a scheme, ``(B, 1 + T*H*W, 1)``."""
    steps = list(scheme.steps.values())[::-1]
    if scheme.parallel:
        return torch.stack([_through_step(row, step, *inputs[step]) for step in steps]).mean(dim=0)
    for step in steps:
        row = _through_step(row, step, *inputs[step])
    return row


def _through_step(row: Tensor, step: AttentionStep, tokens: Tensor, grid: Grid, *_: Any) -> Tensor:
    """``row @ A`` for the attention matrix A of a step, group by group."""
    qkv = step.queries_keys_values(tokens, grid)
    attention = _attention(step, step.with_positions(qkv, grid))  # (B*G, L, L)
    num_groups = len(attention) // len(tokens)
    cls, patches = row[:, :1], row[:, 1:]
    # the copies of the classification token are averaged, so each of them hands on one part in num_groups
    part = torch.zeros_like(cls) if step.cls_sees_all else cls / num_groups
    groups = step.grouping.fold(torch.cat([part, patches], dim=1), grid)
    row = step.grouping.unfold(attention.transpose(1, 2) @ groups, grid)
    new_cls = row[:, :1] * num_groups if step.grouping.with_cls else cls
    row = torch.cat([new_cls, row[:, 1:]], dim=1)
    if step.cls_sees_all:
        of_cls = _attention(step, step.grouping.unfold(qkv, grid), num_queries=1)
        row = row + of_cls.transpose(1, 2) * cls
    return row


def _attention(step: AttentionStep, qkv: Tensor, num_queries: int | None = None) -> Tensor:
    """Attention ``(N, queries, L)`` of groups, mean over heads."""
    q, k, _ = step.split_heads(qkv)
    q = q[:, :, :num_queries]
    return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1).mean(dim=1)
