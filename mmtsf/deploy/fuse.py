"""Recognizers with fewer operations, for prediction."""

from functools import partial
from typing import Any

import torch
from mmaction.models import ActionDataPreprocessor, BaseRecognizer
from torch import Tensor, nn
from torch.nn.utils import skip_init

from mmtsf.models import TimeSformer
from mmtsf.models.adapters import merge_adapters
from mmtsf.models.kernels.plain import is_untouched
from mmtsf.models.layers import MLP, AttentionStep, DropPath, LayerScale


def fuse(recognizer: BaseRecognizer) -> None:
    """Merge what is linear and adjacent: the same scores from fewer operations. Not to be undone, nor to be trained.

    Neighbouring linear layers become one, and the preprocessor's normalisation goes into the patch embedding, so that
    frames stay uint8 until there.

    Args:
        recognizer (BaseRecognizer): A recognizer; one with a :class:`TimeSformer` backbone is changed in place, once,
            others stay as they are.
    """
    if not isinstance(recognizer.backbone, TimeSformer) or hasattr(recognizer.backbone, 'fused'):
        return
    merge_adapters(recognizer)
    preprocessor = recognizer.data_preprocessor
    fuse_backbone(recognizer.backbone, preprocessor.mean.flatten(), preprocessor.std.flatten())
    plain = dict(to_rgb=preprocessor.to_rgb, to_float32=False, format_shape=preprocessor.format_shape)
    recognizer.data_preprocessor = ActionDataPreprocessor(**plain).to(preprocessor.device)


@torch.no_grad()
def fuse_backbone(backbone: TimeSformer, mean: Tensor | None = None, std: Tensor | None = None) -> None:
    """Fuse a backbone alone. Its state dict says so in ``fused``, its weights are frozen, and it refuses to train.

    Args:
        backbone (TimeSformer): Changed in place.
        mean (Tensor, optional): Mean pixel ``(3,)``. With it clips are pixels, uint8, normalised by the patch
            embedding's weights. Defaults to None: clips are normalised already.
        std (Tensor, optional): Standard deviation of pixels ``(3,)``. Defaults to None.

    Raises:
        ValueError: If the backbone is fused already.
        TypeError: If there is something else in the place of the patch embedding's convolution, or it has hooks, is
            pruned or parametrised.
    """
    if hasattr(backbone, 'fused'):
        raise ValueError('this backbone is fused already')
    if mean is not None and std is not None:
        _fold_normalisation(backbone.embedding.patch, mean, std)
    for part in backbone.modules():
        if isinstance(part, AttentionStep):
            if _is_foldable(part.proj, part.scale):
                _fold_scale(part.proj, part.scale)
                part.scale = None
            if _are_mergeable(part):
                _merge(part, part.proj, part.temporal_fc)
        elif isinstance(part, MLP) and _is_foldable(part[-2], part[-1]) and is_untouched(part):
            _fold_scale(part[-2], part[-1])
            del part[-1]
    backbone.register_buffer('fused', torch.tensor(True))
    backbone.requires_grad_(False)
    backbone.embedding.register_forward_pre_hook(partial(_refuse_training, backbone))  # encode() comes by, too


def _is_foldable(linear: nn.Module, scale: nn.Module | None) -> bool:
    """Whether a linear layer and the scale of its channels do nothing else."""
    return type(linear) is nn.Linear and type(scale) is LayerScale and is_untouched(linear, scale)


def _fold_scale(linear: Any, scale: Any) -> None:
    """Scale the channels of a linear layer by its weights."""
    linear.weight.mul_(scale.gamma[:, None])
    if linear.bias is not None:
        linear.bias.mul_(scale.gamma)


def _are_mergeable(step: AttentionStep) -> bool:
    """Whether a step ends in two linear layers and drop path that do nothing else; others stay as they are."""
    last: Any = (step.proj, step.drop_path, step.temporal_fc)
    kinds = [nn.Linear, DropPath, nn.Linear]
    return step.scale is None and [type(module) for module in last] == kinds and is_untouched(*last)


def _merge(step: AttentionStep, proj: nn.Linear, temporal_fc: Any) -> None:
    """Merge the two last linear layers, between which there is nothing but drop path."""
    weight = temporal_fc.weight.double()
    bias = 0 if proj.bias is None else weight @ proj.bias.double()
    sizes = (proj.in_features, temporal_fc.out_features)
    merged = skip_init(nn.Linear, *sizes, device=weight.device, dtype=proj.weight.dtype)
    merged.weight.copy_(weight @ proj.weight.double())
    merged.bias.copy_(bias + (0 if temporal_fc.bias is None else temporal_fc.bias))
    step.proj, step.temporal_fc = merged, None


def _fold_normalisation(patch: Any, mean: Tensor, std: Tensor) -> None:
    """Change the patch embedding to take pixels in place of ``(pixels - mean) / std``, both ``(3,)``."""
    if type(patch) not in (nn.Conv2d, nn.Conv3d) or patch.bias is None or any(patch.padding) or not is_untouched(patch):
        raise TypeError(
            f'the patch embedding is a {type(patch).__name__}, expected Conv2d or Conv3d with a bias, without padding, '
            'hooks, pruning and parametrisations; merge adapters into it and remove these before fusing'
        )
    axes = (3, *(1 for _ in patch.kernel_size))
    weight = patch.weight.double() / std.double().view(axes)
    shift = (weight * mean.double().view(axes)).flatten(1).sum(dim=1)
    patch.weight.copy_(weight)
    patch.bias.copy_(patch.bias - shift)


def _refuse_training(backbone: nn.Module, *_: Any) -> None:
    trains = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in backbone.parameters())
    if backbone.training or trains:
        raise RuntimeError(
            'this model was fused for prediction and cannot be trained; build it anew without fusing, as '
            'init_recognizer(config, checkpoint) does'
        )
