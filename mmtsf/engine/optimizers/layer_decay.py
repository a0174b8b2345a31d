"""Lower the learning rate layer by layer, from the head to the input."""

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmtsf.models import TimeSformer
from mmtsf.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(DefaultOptimWrapperConstructor):
    """Optimizer whose rate falls by a factor from layer to layer, towards the input (BEiT, arXiv 2106.08254).

    The embedding is layer 0, block N layer N + 1, norm and head the last, which has the full rate. Biases, norms,
    layer scale, tokens and position tables have no weight decay. Frozen weights are left out.

    Args:
        optim_wrapper_cfg (dict): Config of the optimizer wrapper; the optimizer's names ``lr`` and ``weight_decay``.
        paramwise_cfg (dict): ``dict(layer_decay=0.75)``: the factor.

    Raises:
        ValueError: If ``paramwise_cfg`` holds something else, or the factor is not in (0, 1].
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        if set(paramwise_cfg) != {'layer_decay'} or not 0 < paramwise_cfg['layer_decay'] <= 1:
            raise ValueError(f'paramwise_cfg is {paramwise_cfg}, expected dict(layer_decay=F) with F in (0, 1]')

    def add_params(self, params: list[dict], module: Any, **_) -> None:
        """Add a recognizer's parameters in groups of one layer each, with and without weight decay.

        Raises:
            TypeError: If its backbone is no TimeSformer.
        """
        if not isinstance(getattr(module, 'backbone', None), TimeSformer):
            raise TypeError(
                f'LayerDecayConstructor was given a {type(module).__name__} without a TimeSformer as its '
                'backbone, of which it knows the layers; leave out optim_wrapper.constructor and paramwise_cfg'
            )
        groups: dict[tuple[int, bool], dict] = {}
        last = len(module.backbone.blocks) + 1
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            layer, decays = layer_of(name, last), _decays(name, parameter)
            lr = self.base_lr * self.paramwise_cfg['layer_decay'] ** (last - layer)
            rates = dict(lr=lr, weight_decay=(self.base_wd or 0.0) if decays else 0.0)
            groups.setdefault((layer, decays), dict(params=[], **rates))['params'].append(parameter)
        # the last layer first: the log shows the first group's rate
        params += [groups[key] for key in sorted(groups, reverse=True)]


def layer_of(name: str, last: int) -> int:
    """Number of the layer that a recognizer's parameter of this name belongs to; ``last`` for norm and head."""
    if name.startswith('backbone.embedding.'):
        return 0
    if name.startswith('backbone.blocks.'):
        return int(name.split('.')[2]) + 1
    return last


def _decays(name: str, parameter: nn.Parameter) -> bool:
    is_table = name.startswith('backbone.embedding.') and not name.startswith('backbone.embedding.patch.')
    return parameter.ndim > 1 and not is_table and not name.endswith('.query')
