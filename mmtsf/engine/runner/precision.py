"""Choose the precision in which a training computes."""

import torch
from mmengine.config import Config
from mmengine.device import is_cuda_available

#: What a config's ``amp`` may be
PRECISIONS = ('auto', 'bfloat16', 'float16', 'off')
#: Optimizer wrappers that compute in them, and what they take beside the plain one's arguments
WRAPPERS = {'bfloat16': 'Bf16OptimWrapper', 'float16': 'AmpOptimWrapper', 'off': 'OptimWrapper'}
OF_A_SCALER = ('loss_scale', 'dtype')


def set_precision(config: Config) -> str | None:
    """Have the optimizer wrapper compute as the config's ``amp`` says; weights are float32 in any case.

    ``'auto'`` leaves a wrapper that the config has chosen itself.

    Args:
        config (Config): Resolved config of a run; ``amp`` is taken out of it, and its optimizer wrapper set.

    Returns:
        str | None: What was taken and why, for the log; None if the config does not say.

    Raises:
        ValueError: If there is no such precision here, or the wrapper is of others.
    """
    asked, wrapper = config.pop('amp', None), config.get('optim_wrapper')
    if asked is None or not wrapper:
        return None
    kind = wrapper.get('type', 'OptimWrapper')
    name = str(kind).removeprefix('mmtsf.')
    if asked == 'auto' and name != WRAPPERS['off']:
        return f'precision: that of optim_wrapper.type={kind!r}'
    taken, why = choose(asked)
    if name not in WRAPPERS.values():
        raise ValueError(
            f'amp is {asked!r}, but optim_wrapper.type is {kind!r}, which computes as it does; set amp=auto, or '
            "optim_wrapper.type='OptimWrapper'"
        )
    if name != WRAPPERS[taken]:
        wrapper.type = WRAPPERS[taken]
        for key in OF_A_SCALER:
            wrapper.pop(key, None)
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


def set_tf32(wanted: bool) -> None:
    """Have float32 products of GPUs computed in tf32, or exactly, in this process."""
    if is_cuda_available():
        torch.set_float32_matmul_precision('high' if wanted else 'highest')
        torch.backends.cudnn.allow_tf32 = wanted
