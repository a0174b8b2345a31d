"""Optimizers that take less memory, by packages that need not be installed."""

from typing import Any

from torch.optim import Optimizer

from mmtsf.registry import OPTIMIZERS


@OPTIMIZERS.register_module(name='AdamW8bit')
def adamw_8bit(params: Any, fused: bool | None = None, **kwargs: Any) -> Optimizer:
    """AdamW with states of 8 bits, a quarter of the memory; parameters of less than 4096 numbers have those of 32.

    Args:
        params (Iterable): Parameters, or groups of them.
        fused (bool, optional): Taken from recipes; its step is one kernel for a parameter in any case.
        kwargs: Of :class:`bitsandbytes.optim.AdamW8bit`.

    Raises:
        ValueError: If bitsandbytes is not installed, or states are asked for that no checkpoint could hold.
    """
    try:
        from .bitsandbytes_adamw import AdamW8bit
    except ModuleNotFoundError as error:
        if (error.name or '').split('.')[0] != 'bitsandbytes':
            raise
        raise ValueError("AdamW8bit needs bitsandbytes; pip install 'mmtsf[bitsandbytes]'") from None
    if kwargs.get('is_paged'):
        raise ValueError('is_paged=True keeps states where no checkpoint is written from; leave it out')
    return AdamW8bit(params, **kwargs)


def refuse_others_of_8_bits(optimizer: Optimizer) -> None:
    """Refuse optimizers of bitsandbytes that MMEngine registers, whose states a checkpoint would not bring back.

    Raises:
        ValueError: With the one to take.
    """
    is_of_8_bits = any(base.__name__ == 'Optimizer8bit' for base in type(optimizer).__mro__)
    if is_of_8_bits and not hasattr(optimizer, 'state_like'):
        raise ValueError(
            f'the optimizer is {type(optimizer).__name__} of bitsandbytes, from whose checkpoints no training goes on; '
            'of these use AdamW8bit'
        )
