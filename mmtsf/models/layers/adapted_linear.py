"""A linear layer with a low-rank adapter (LoRA, arXiv 2106.09685), by peft."""

from typing import Any

import torch
from peft import LoraConfig
from peft.tuners import lora
from torch import Tensor, nn

from mmtsf.models.kernels.linear import Repeat, linear

#: Name that peft gives an adapter, of which a layer here has one
NAME = 'default'
#: peft's names of what a layer holds, and the names in state dicts: those of the layer that is adapted are kept
NAMES = {
    'base_layer.weight': 'weight',
    'base_layer.bias': 'bias',
    f'lora_A.{NAME}.weight': 'lora_A.weight',
    f'lora_B.{NAME}.weight': 'lora_B.weight',
}


class AdaptedLinear(lora.Linear):
    """peft's layer ``W x + b + s B A x``, whose products may be ours, and whose ``W`` and ``b`` keep their names in
    state dicts.

    Args:
        layer (nn.Linear): The layer, whose weights are frozen.
        rank (int): Rows of A.
        alpha (float): The scale s times the rank.
        dropout (float): Of what A is given in training.
    """

    def __init__(self, layer: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        # of alpha peft's annotation says int, and its formula takes any number
        config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout)  # type: ignore[arg-type]
        super().__init__(layer, NAME, config, r=rank, lora_alpha=alpha)  # type: ignore[arg-type]
        layer.requires_grad_(False)
        self.register_state_dict_post_hook(_to_plain_names)
        self.register_load_state_dict_pre_hook(_to_own_names)

    @property
    def is_affine(self) -> bool:
        """Whether it does the same to every row, and commutes with their mean: nothing is dropped."""
        return not self.training or isinstance(self.lora_dropout[NAME], nn.Identity)

    def by_products(self, x: Tensor, again: Repeat | None) -> Tensor:
        """What calling it gives, for :func:`mmtsf.models.kernels.through.through`: with ``again``, the input is not
        kept for the backward pass."""
        if self.merged or self.disable_adapters:
            return self(x)
        base, down, up = self.base_layer, self.lora_A[NAME], self.lora_B[NAME]
        dropped = x if self.is_affine else self.lora_dropout[NAME](x)
        low = linear(dropped, down.weight, None, again if dropped is x else None)
        return torch.add(linear(x, base.weight, base.bias, again), linear(low, up.weight), alpha=self.scaling[NAME])


def _to_plain_names(layer: AdaptedLinear, state: dict, prefix: str, *_: Any) -> None:
    for theirs, ours in NAMES.items():
        if f'{prefix}{theirs}' in state:
            state[f'{prefix}{ours}'] = state.pop(f'{prefix}{theirs}')


def _to_own_names(layer: AdaptedLinear, state: dict, prefix: str, *_: Any) -> None:
    for theirs, ours in NAMES.items():
        if f'{prefix}{ours}' in state:
            state[f'{prefix}{theirs}'] = state.pop(f'{prefix}{ours}')
