"""Extract features of clips, frames or patches."""

import torch
from mmaction.models import BaseRecognizer
from torch import Tensor

LEVELS = ('video', 'clip', 'frame', 'tokens')
#: Clips that are run at once, unless the config's ``max_testing_views`` says otherwise
VIEWS = 8


@torch.no_grad()
def extract(model: BaseRecognizer, clips: Tensor, level: str) -> Tensor:
    """Features of a video's clips, after the backbone's last norm.

    Args:
        model (BaseRecognizer): From :func:`init_recognizer`.
        clips (Tensor): Views of one video as the preprocessor leaves them, ``(V, 3, T, H, W)``.
        level (str): ``'clip'``: the classification token of each view, ``(V, C)``; ``'video'``: their mean, ``(C,)``;
            ``'tokens'``: all patches, ``(V, T, h, w, C)``; ``'frame'``: their means over the frames, ``(V, T, C)``.

    Raises:
        ValueError: If ``level`` is something else.
    """
    if level not in LEVELS:
        raise ValueError(f'level is {level!r}, expected one of {LEVELS}')
    parts = clips.split(model.test_cfg.get('max_testing_views') or VIEWS)
    if level in ('clip', 'video'):
        features = torch.cat([model.backbone(part) for part in parts])
        return features if level == 'clip' else features.mean(dim=0)
    return torch.cat([_patches(model, part, level) for part in parts])


def _patches(model: BaseRecognizer, clips: Tensor, level: str) -> Tensor:
    tokens, grid = model.backbone.encode(clips)
    patches = model.backbone.norm(tokens[:, 1:]).reshape(len(clips), clips.shape[2], grid.h, grid.w, -1)
    return patches if level == 'tokens' else patches.mean(dim=(2, 3))
