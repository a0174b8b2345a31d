"""Recognize videos with a backbone that may be frozen and a head that may take patch tokens."""

from typing import Any

import torch
from mmaction.models import Recognizer3D
from torch import Tensor

from mmtsf.config.references import refuse_references
from mmtsf.registry import MODELS

from ..adapters import Adapters, add_adapters, freeze_image_part, without_adapters
from ..backbones import TimeSformer


@MODELS.register_module()
class VideoRecognizer(Recognizer3D):
    """MMAction2's recognizer, whose backbone may be frozen, and whose head may take patch tokens.

    With another backbone than :class:`TimeSformer` it does what MMAction2's does.

    Args:
        backbone (dict): Config of the backbone.
        cls_head (dict, optional): Config of the head; one with ``takes_tokens`` gets the tokens of all patches.
            Defaults to None.
        neck (dict, optional): Config of a neck between them, as some backbones of MMAction2 have. Defaults to None.
        train_cfg (dict, optional): Not used here, but by heads of MMAction2. Defaults to None.
        test_cfg (dict, optional): ``max_testing_views``: views that are run at once. Defaults to None: all.
        data_preprocessor (dict, optional): Config of the preprocessor. Defaults to None: clips are stacked.
        frozen (bool | str): Whether the backbone's weights stay as they are; no gradient is computed for them, and
            nothing is dropped. ``'image'``: those that an image model has, see :func:`freeze_image_part`. Defaults to
            False.
        adapters (dict, optional): Settings of low-rank adapters that learn in their place, see :class:`Adapters`.
            Defaults to None: none.
    """

    def __init__(
        self,
        backbone: dict,
        cls_head: dict | None = None,
        neck: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        frozen: bool | str = False,
        adapters: dict | None = None,
    ) -> None:
        refuse_references(dict(backbone=backbone, cls_head=cls_head, frozen=frozen), type(self).__name__)
        super().__init__(backbone, cls_head, neck, train_cfg, test_cfg, data_preprocessor)
        if self.with_cls_head:
            self.cls_head.register_forward_hook(_in_float32)
        if frozen not in (True, False, 'image') or (frozen and adapters is not None):
            raise ValueError(
                f"frozen is {frozen!r}, expected True, False or 'image'; with adapters, which freeze the rest, False"
            )
        self.frozen = frozen is True
        self.adapters = None if adapters is None else Adapters.parse(adapters)
        if self.adapters is not None:
            add_adapters(self.backbone, self.adapters)
        elif frozen == 'image':
            freeze_image_part(self.backbone)
        elif frozen:
            self.backbone.requires_grad_(False)

    def init_weights(self) -> None:
        """MMEngine's; adapters keep their own start, which adds nothing. Weights that start the backbone are compared
        with how frames are normalised (:mod:`mmtsf.weights.told`)."""
        self.backbone.preprocessors = [self.data_preprocessor]  # in a list, as it is no part of the backbone
        try:
            with without_adapters(self):
                super().init_weights()
        finally:
            del self.backbone.preprocessors

    def train(self, mode: bool = True) -> 'VideoRecognizer':
        """Training mode; a frozen backbone stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
            self.backbone.runs_long = mode  # for TimeSformer: a training of the head is one
        return self

    def extract_feat(
        self, inputs: Tensor, stage: str = 'neck', data_samples: list | None = None, test_mode: bool = False
    ) -> tuple[Tensor, dict[str, Any]]:
        """What the head takes, of clips ``(B, N, 3, T, H, W)`` with N views: ``(B*N, C)`` or tokens ``(B*N, P, C)``."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            if not isinstance(self.backbone, TimeSformer) or self.with_neck or stage == 'head':
                return super().extract_feat(inputs, stage, data_samples, test_mode)
            views = inputs.flatten(0, 1)
            at_once = (self.test_cfg or {}).get('max_testing_views') if test_mode else None
            return torch.cat([self._features(part) for part in views.split(at_once or len(views))]), {}

    def _features(self, clips: Tensor) -> Tensor:
        if not getattr(self.cls_head, 'takes_tokens', False):
            return self.backbone(clips)
        tokens, grid = self.backbone.encode(clips)
        tokens = self.backbone.norm(tokens[:, grid.lead :])
        return tokens.reshape(len(clips), -1, tokens.shape[-1])  # where frames are clips of their own, all of a clip's


def _in_float32(head: Any, given: tuple, scores: Any) -> Any:
    """Scores of a head of MMAction2 under bfloat16 autocast, for which its metrics, NumPy's, have no type."""
    return scores.float() if isinstance(scores, Tensor) and scores.dtype == torch.bfloat16 else scores
