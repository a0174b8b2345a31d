"""Compute attention rollout of the classification token, and one token's attention in one step."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mmtsf.models import TimeSformer
from mmtsf.models.layers import AttentionStep, Grid, LucidrainsStep

#: Scores that are held at once: 64 MB
SCORES = 2**24


@torch.no_grad()
def rollout(backbone: TimeSformer, clip: Tensor, steps: Collection[str] | None = None) -> Tensor:
    """Compute the classification token's attention rollout over all blocks (Abnar & Zuidema, arXiv 2005.00928).

    In every block the heads are averaged, the steps multiplied, the identity added and rows normalised; the blocks
    are multiplied. No matrix over all patches is made: one row goes through the groups from the last block to the
    first. Where an attention scheme leaves the classification token out of a step, it keeps its weight.

    Args:
        backbone (TimeSformer): The model.
        clip (Tensor): One clip ``(1, 3, T, H, W)``, as the backbone takes it.
        steps (Collection[str], optional): Steps that are followed below the last block, e.g. ``['time']``; the others
            are taken for the identity there. Defaults to None: all.

    Raises:
        ValueError: If there is more than one clip, or no step of that name.

    Returns:
        Tensor: Weights ``(T, h, w)`` of the patches; with the classification token's own they sum to 1.
    """
    inputs, tokens, grid = _encode(backbone, clip)
    names = set(_steps(backbone, 0))
    if not set(steps or ()) <= names:
        raise ValueError(f'steps are {sorted(steps or ())}, expected some of {sorted(names)}')
    row = _row_of(backbone.pool, tokens, grid)
    for block in list(backbone.blocks)[::-1]:
        followed = names if steps is None or block is backbone.blocks[-1] else set(steps)
        row = (row + _through_scheme(row, block.attention, followed, inputs)) / 2
    return row[:, grid.lead :].reshape(-1, grid.h, grid.w)


@torch.no_grad()
def attention_of(
    backbone: TimeSformer,
    clip: Tensor,
    block: int,
    step: str,
    query: tuple[int, int, int] | None = None,
    head: int | None = None,
) -> Tensor:
    """Compute one token's attention to every patch in one step of one block: a row of the attention matrix.

    Args:
        backbone (TimeSformer): The model.
        clip (Tensor): One clip ``(1, 3, T, H, W)``, as the backbone takes it.
        block (int): Number of the block, from 0; negative ones count from the end.
        step (str): Name of the step, e.g. ``'time'``.
        query (tuple[int, int, int], optional): Frame, row and column of a patch. Defaults to None: the classification
            token, the mean of its copies.
        head (int, optional): Number of the head. Defaults to None: the mean of all.

    Raises:
        ValueError: If there is more than one clip, or no such block, step, patch or head.

    Returns:
        Tensor: Weights ``(T, h, w)``, zero for patches that the token does not see.
    """
    inputs, tokens, grid = _encode(backbone, clip)
    steps = _steps(backbone, 0)
    sizes = (len(tokens) * grid.t, grid.h, grid.w)
    for name, value, choices in (
        ('block', block, range(-len(backbone.blocks), len(backbone.blocks))),
        ('step', step, list(steps)),
        ('head', head or 0, range(next(iter(steps.values())).num_heads)),
        *(('query', place, range(size)) for place, size in zip(query or (0, 0, 0), sizes)),
    ):
        if value not in choices:
            raise ValueError(f'{name} is {value!r}, expected one of {choices}')
    if query is None:
        row = _row_of(backbone.pool, tokens, grid)
    else:
        row = tokens.new_zeros(*tokens.shape[:2], 1, dtype=torch.float32)
        row[:, grid.lead :].view(sizes)[tuple(query)] = 1
    chosen = _steps(backbone, block)[step]
    return _through_step(row, chosen, *inputs[chosen], head=head)[:, grid.lead :].reshape(sizes)


def _row_of(pool: str, tokens: Tensor, grid: Grid) -> Tensor:
    """Return the weights of all tokens ``(B, L + T*H*W, 1)`` in a clip's feature: the classification token's, or the
    mean of the patches; frames that are clips of their own are averaged at the end."""
    row = tokens.new_zeros(*tokens.shape[:2], 1, dtype=torch.float32)
    part = row[:, :1] if pool == 'cls' else row[:, grid.lead :]
    part[:] = 1 / (len(tokens) * part.shape[1])
    return row


def _steps(backbone: TimeSformer, block: int) -> Any:
    """Return a block's attention steps by name."""
    encoder: Any = backbone.blocks[block]
    return encoder.attention.steps


def _encode(backbone: TimeSformer, clip: Tensor) -> tuple[dict, Tensor, Grid]:
    """Return the inputs of all attention steps, the tokens and the grid of one clip."""
    if len(clip) != 1:
        raise ValueError(f'{len(clip)} clips are given, expected one: shape (1, 3, T, H, W)')
    with _recorded_inputs(backbone) as inputs:
        tokens, grid = backbone.encode(clip)
    return inputs, tokens, grid


@contextmanager
def _recorded_inputs(backbone: TimeSformer) -> Iterator[dict[AttentionStep, tuple[Tensor, Grid]]]:
    """Record the inputs of all attention steps of forward passes inside the context, without dropout."""
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


def _through_scheme(row: Tensor, scheme: Any, followed: Collection[str], inputs: dict) -> Tensor:
    """Compute ``row @ A`` for a scheme's attention matrix A, ``(B, L + T*H*W, 1)``."""
    rows = []
    for name, step in reversed(scheme.steps.items()):
        through = _through_step(row, step, *inputs[step]) if name in followed else row
        if scheme.parallel:
            rows.append(through)
        else:
            row = through
    return torch.stack(rows).mean(dim=0) if scheme.parallel else row


def _through_step(
    row: Tensor, step: AttentionStep, tokens: Tensor, grid: Grid, *_: Any, head: int | None = None
) -> Tensor:
    """Compute ``row @ A`` for a step's attention matrix A, group by group."""
    q, k, _ = step.queries_keys_values(tokens, grid)
    num_groups = len(q) // len(tokens)
    leading, patches = row[:, : grid.lead], row[:, grid.lead :]
    one_cls = step if isinstance(step, LucidrainsStep) and step.one_cls else None
    # the copies of leading tokens are averaged, so each of them hands on one part in num_groups
    part = torch.zeros_like(leading) if one_cls is not None else leading / num_groups
    groups = step.grouping.fold(torch.cat([part, patches], dim=1), grid)
    row = step.key_grouping.unfold(_through_attention(groups, q, k, head), grid)
    row = torch.cat([row[:, : grid.lead] * num_groups, row[:, grid.lead :]], dim=1)
    if not step.grouping.with_cls:  # they keep what they have
        row[:, : grid.lead] += leading
    if one_cls is not None:
        row = row + _through_attention(leading, *one_cls.cls_query_keys_values(tokens, grid)[:2], head)
    return row


def _through_attention(rows: Tensor, q: Tensor, k: Tensor, head: int | None) -> Tensor:
    """Compute ``rows @ A`` for attention within groups, ``(N, L, 1)``, a few queries at a time.

    ``rows`` ``(N, queries, 1)`` are weights of the queries ``(N, heads, queries, c)``."""
    if head is not None:
        q, k = q[:, head : head + 1], k[:, head : head + 1]
    keys = k.float().transpose(-2, -1) * q.shape[-1] ** -0.5
    result = rows.new_zeros(len(k), k.shape[2], 1, dtype=torch.float32)
    at_once = max(SCORES // (k.shape[0] * k.shape[1] * k.shape[2]), 1)
    for part, queries in zip(rows.split(at_once, dim=1), q.float().split(at_once, dim=2)):
        result += (queries @ keys).softmax(dim=-1).mean(dim=1).transpose(1, 2) @ part
    return result
