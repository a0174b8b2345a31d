"""Choose the precision in which a training computes."""

import torch
from mmengine.config import Config
from mmengine.device import is_cuda_available

#: What a config's ``amp`` may be
PRECISIONS = ('auto', 'bfloat16', 'float16', 'off')
#: Optimizer wrappers that compute in them
WRAPPERS = {'bfloat16': 'Bf16OptimWrapper', 'float16': 'AmpOptimWrapper', 'off': 'OptimWrapper'}
#: What a config's ``tf32`` may be
SWITCHES = {True: True, False: False, 'on': True, 'off': False}


def set_precision(config: Config) -> str | None:
    """Have the optimizer wrapper compute as the config's ``amp`` says; weights are float32 in any case.

    ``'auto'`` leaves a wrapper that the config has chosen itself, or a ``constructor`` that makes several.

    Args:
        config (Config): Resolved config of a run; ``amp`` is taken out of it, and its optimizer wrapper set.

    Returns:
        str | None: What was taken and why, for the log; None if the config does not say.

    Raises:
        ValueError: If there is no such precision here, or the wrapper is of others.
    """
    wrapper = config.get('optim_wrapper')
    if 'amp' not in config or not wrapper:
        config.pop('amp', None)
        return None
    asked = config.pop('amp')
    makes_several = 'constructor' in wrapper and not {'type', 'optimizer'} & set(wrapper)
    which = 'constructor' if makes_several else 'type'  # of wrappers, or of the one
    kind = wrapper.get(which, 'OptimWrapper')
    name = str(kind).removeprefix('mmtsf.')
    if asked == 'auto' and (makes_several or name != WRAPPERS['off']):
        return f'precision: that of optim_wrapper.{which}={kind!r}'
    taken, why = choose(asked)
    if makes_several or name not in WRAPPERS.values():
        raise ValueError(
            f'amp is {asked!r}, but optim_wrapper.{which} is {kind!r}, which computes as it does; set amp=auto, or '
            "optim_wrapper.type='OptimWrapper'"
        )
    if name != WRAPPERS[taken]:
        wrapper.type = WRAPPERS[taken]
        if '_scope_' in wrapper:
            wrapper['_scope_'] = 'mmtsf'  # which has it
        wrapper.pop('loss_scale', None)
    wrapper.pop('dtype', None)  # that of amp
    return f'precision: {"float32" if taken == "off" else taken}, weights in float32 ({why})'


def choose(asked: str | bool) -> tuple[str, str]:
    """The precision that is taken, and why.

    Raises:
        ValueError: If it is none, or this machine does not have it.
    """
    asked = 'off' if asked is False else asked
    if asked not in PRECISIONS:
        raise ValueError(f'amp is {asked!r}, expected one of {PRECISIONS}')
    gpu = torch.cuda.get_device_name() if is_cuda_available() else None
    has_bfloat16 = gpu is None or torch.cuda.is_bf16_supported(including_emulation=False)
    if asked == 'float16' and gpu is None:
        raise ValueError('float16 needs a GPU, and there is none; use --amp bfloat16')
    if asked == 'bfloat16' and not has_bfloat16:
        raise ValueError(f'{gpu} has no bfloat16; use --amp float16')
    if asked != 'auto':
        return str(asked), f'amp={asked}'
    if gpu is None:
        return 'off', 'amp=auto: there is no GPU'
    return ('bfloat16', f'amp=auto: {gpu}') if has_bfloat16 else ('off', f'amp=auto: {gpu} has no bfloat16')


def set_tf32(wanted: bool | str) -> None:
    """Have float32 products of GPUs computed in tf32, or exactly, in this process.

    Raises:
        ValueError: If that is not what the word says.
    """
    if wanted not in SWITCHES:
        raise ValueError(f'tf32 is {wanted!r}, expected True, False, on or off')
    if is_cuda_available():
        torch.set_float32_matmul_precision('high' if SWITCHES[wanted] else 'highest')
        torch.backends.cudnn.allow_tf32 = SWITCHES[wanted]
