"""Extract features of clips, frames or patches."""

from typing import Any

import torch
from mmaction.models import BaseRecognizer
from torch import Tensor

from .recognizer import build_pipeline, to_sample, views_of

LEVELS = ('video', 'clip', 'frame', 'tokens')
#: Clips that are run at once, unless the config's ``max_testing_views`` says otherwise
VIEWS = 8


@torch.no_grad()
def extract(model: BaseRecognizer, video: Any, level: str) -> Tensor:
    """Compute features of a video's clips, after the backbone's last norm.

    Args:
        model (BaseRecognizer): From :func:`init_recognizer`.
        video: A video in any form that :func:`to_sample` takes, or its views ``(V, 3, T, H, W)`` as the preprocessor
            leaves them.
        level (str): ``'clip'``: the classification token of each view, ``(V, C)``; ``'video'``: their mean, ``(C,)``;
            ``'tokens'``: all patches, ``(V, T, h, w, C)``; ``'frame'``: their means over the frames, ``(V, T, C)``.
            Where a patch is of several frames, T is the number of these.

    Raises:
        ValueError: If ``level`` is something else.
    """
    if level not in LEVELS:
        raise ValueError(f'level is {level!r}, expected one of {LEVELS}')
    is_views = isinstance(video, Tensor) and video.ndim == 5
    clips = video if is_views else views_of(model, build_pipeline(model)(to_sample(video)))
    parts = clips.split(model.test_cfg.get('max_testing_views') or VIEWS)
    if level in ('clip', 'video'):
        features = torch.cat([model.backbone(part) for part in parts])
        return features if level == 'clip' else features.mean(dim=0)
    return torch.cat([_patches(model, part, level) for part in parts])


def _patches(model: BaseRecognizer, clips: Tensor, level: str) -> Tensor:
    tokens, grid = model.backbone.encode(clips)
    patches = model.backbone.norm(tokens[:, grid.lead :]).reshape(len(clips), -1, grid.h, grid.w, tokens.shape[-1])
    return patches if level == 'tokens' else patches.mean(dim=(2, 3))
