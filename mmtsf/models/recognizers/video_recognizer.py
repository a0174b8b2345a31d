"""A recognizer for probes: frozen backbones, heads over tokens."""

from typing import Any

import torch
from mmaction.models import Recognizer3D
from torch import Tensor

from mmtsf.registry import MODELS


@MODELS.register_module()
class VideoRecognizer(Recognizer3D):
    """MMAction2's recognizer, whose backbone may be frozen, and whose head may take patch tokens.

    Args:
        backbone (dict): Config of a :class:`TimeSformer`.
        cls_head (dict): Config of the head; one with ``takes_tokens`` gets the tokens of all patches.
        data_preprocessor (dict, optional): Config of the preprocessor. Defaults to None: clips are stacked.
        test_cfg (dict, optional): ``max_testing_views``: views that are run at once. Defaults to None: all.
        frozen (bool): Whether the backbone's weights stay as they are; no gradient is computed for them, and nothing is
            dropped. Defaults to False.
    """

    def __init__(
        self,
        backbone: dict,
        cls_head: dict,
        data_preprocessor: dict | None = None,
        test_cfg: dict | None = None,
        frozen: bool = False,
    ) -> None:
        super().__init__(backbone, cls_head, test_cfg=test_cfg, data_preprocessor=data_preprocessor)
        self.frozen = frozen
        self.backbone.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> 'VideoRecognizer':
        """Training mode; a frozen backbone stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def extract_feat(
        self, inputs: Tensor, stage: str = 'neck', data_samples: list | None = None, test_mode: bool = False
    ) -> tuple[Tensor, dict[str, Any]]:
        """What the head takes, of clips ``(B, N, 3, T, H, W)`` with N views: ``(B*N, C)`` or tokens ``(B*N, P, C)``."""
        views = inputs.flatten(0, 1)
        at_once = (self.test_cfg or {}).get('max_testing_views') if test_mode else None
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return torch.cat([self._features(part) for part in views.split(at_once or len(views))]), {}

    def _features(self, clips: Tensor) -> Tensor:
        if not getattr(self.cls_head, 'takes_tokens', False):
            return self.backbone(clips)
        tokens = self.backbone.norm(self.backbone.encode(clips)[0][:, 1:])
        return tokens.reshape(len(clips), -1, tokens.shape[-1])  # where frames are clips of their own, all of a clip's
