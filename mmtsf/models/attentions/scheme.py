"""What the attention schemes share: steps, each with a residual."""

from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from mmtsf.models.layers import AttentionStep, ClsKeyStep, Grid, Grouping, LucidrainsStep
from mmtsf.models.old_names import refuse_unknown
from mmtsf.registry import MODELS

CLS_TOKENS = ('copies', 'keys', 'all')


class AttentionScheme(nn.Module):
    """Attention steps one after the other, ``x = x + step(x)``, or side by side. A subclass names its steps.

    Args:
        embed_dims, num_heads, drop_path_rate, head_dims, qkv_bias, norm_eps: See :class:`AttentionStep`.
        order (str, optional): Names of the steps in the order in which they run, joined by ``'_'``, or ``'parallel'``:
            all see the same tokens, and their residuals are added. Defaults to None: the scheme's own order.
        cls_token (str): Who sees the classification token: ``'copies'`` as the scheme's steps say, each group has a
            copy and the copies are averaged (released code); ``'keys'``: also in a step that it stays out of, time, it
            is among the keys of every patch (Equation 11 of the paper), and what it sees itself stays the same;
            ``'all'``: in every step all patches see it and it sees all patches, one token (timesformer-pytorch).
            Defaults to ``'copies'``.
        temporal_fc (bool): Whether the steps that an image model lacks end in a second linear layer that starts at zero
            (released code). Defaults to True.
        step (dict, optional): Config of the steps, e.g. ``dict(type='RotaryStep')``. Defaults to None:
            :class:`AttentionStep`, or those of :class:`LucidrainsStep` where other options ask for them.
        layer_scale (float, optional): See :class:`AttentionStep`.
        rotary (bool): Whether queries and keys carry rotary positions. Defaults to False.
        token_shift (bool): Whether channels are shifted between frames before each step. Defaults to False.
    """

    #: The steps in their order, by name.
    groupings: dict[str, Grouping]
    #: The step that is the image model's own attention. All others are additions to it.
    image_step: str
    #: Whether a patch ever sees another frame. Where it does not, the backbone runs every frame as a clip of its own.
    mixes_time = True

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        drop_path_rate: float = 0.0,
        order: str | None = None,
        cls_token: str = 'copies',
        temporal_fc: bool = True,
        head_dims: int | None = None,
        qkv_bias: bool = True,
        norm_eps: float = 1e-6,
        step: dict | None = None,
        layer_scale: float | None = None,
        rotary: bool = False,
        token_shift: bool = False,
        **unknown: Any,
    ) -> None:
        refuse_unknown(self, unknown)
        super().__init__()
        if cls_token not in CLS_TOKENS:
            raise ValueError(f'cls_token is {cls_token!r}, expected one of {CLS_TOKENS}')
        one_cls = cls_token == 'all'
        variant = dict(one_cls=one_cls, rotary=rotary, token_shift=token_shift)
        make_step: Any = partial(LucidrainsStep, **variant) if any(variant.values()) else AttentionStep
        if step is not None:
            make_step = _maker_of(step, **variant)
        if cls_token == 'keys':
            self._refuse_keys(**variant)
        self.parallel = order == 'parallel'
        self.steps = nn.ModuleDict(
            {
                name: (ClsKeyStep if cls_token == 'keys' and not self.groupings[name].with_cls else make_step)(
                    embed_dims=embed_dims,
                    num_heads=num_heads,
                    grouping=replace(self.groupings[name], with_cls=True) if one_cls else self.groupings[name],
                    drop_path_rate=drop_path_rate,
                    temporal_fc=temporal_fc and name != self.image_step,
                    head_dims=head_dims,
                    qkv_bias=qkv_bias,
                    norm_eps=norm_eps,
                    layer_scale=layer_scale,
                )
                for name in self._names_in(order)
            }
        )

    def _refuse_keys(self, rotary: bool, token_shift: bool, **_: bool) -> None:
        if all(grouping.with_cls for grouping in self.groupings.values()):
            raise ValueError(
                f"cls_token is 'keys', but the classification token takes part in every step of {type(self).__name__}; "
                "leave it 'copies'"
            )
        if rotary or token_shift:
            raise ValueError(
                "cls_token is 'keys' (Equation 11 of the paper), which goes with neither rotary positions nor token "
                "shift (timesformer-pytorch); use 'all' with them"
            )

    def _names_in(self, order: str | None) -> list[str]:
        names = list(self.groupings)
        if order is None or order == 'parallel':
            return names
        if sorted(order.split('_')) != sorted(names):
            raise ValueError(f"order is {order!r}, expected {names} in some order, joined by '_', or 'parallel'")
        return order.split('_')

    @property
    def leaves_cls_out(self) -> bool:
        """Whether in the last block a step is of no use to the classification token, and so is not trained."""
        steps: list[Any] = list(self.steps.values())
        return any(not step.grouping.with_cls for step in (steps if self.parallel else steps[-1:]))

    def forward(self, tokens: Tensor, grid: Grid, only_cls: bool = False) -> Tensor:
        """``(B, L + T*H*W, C)`` to the same shape, or with ``only_cls`` to the classification token ``(B, 1, C)``."""
        *others, last = self.steps.values()
        if self.parallel:
            residual = sum(step(tokens, grid, only_cls) for step in self.steps.values())
        else:
            for step in others:
                tokens = (tokens + step(tokens, grid)).to(tokens.dtype)  # a residual may be wider than low tokens
            residual = last(tokens, grid, only_cls)
        return ((tokens[:, :1] if only_cls else tokens) + residual).to(tokens.dtype)


def _maker_of(step: dict, one_cls: bool, rotary: bool, token_shift: bool) -> Any:
    """What makes steps of a config.

    Raises:
        ValueError: If other options ask for steps of their own.
    """
    if one_cls or rotary or token_shift:
        raise ValueError(
            f"step is {step}, which goes with none of cls_token='all', position='rotary' and token_shift "
            '(timesformer-pytorch); leave it out, or these'
        )
    return lambda **options: MODELS.build(dict(step, **options))
