"""Show a few validation clips with the prediction and the attention."""

from typing import Any

import cv2
import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmtsf.engine.runner.bare_model import bare_model
from mmtsf.models import TimeSformer
from mmtsf.registry import HOOKS

#: Least height of a shown frame in pixels, for words to be read
HEIGHT = 112


@HOOKS.register_module()
class ValidationClipsHook(Hook):
    """Show the first clips of each validation: frames, the prediction, and of a TimeSformer the attention rolled out.

    Nothing is shown of data that are no clips, or of models that predict no classes.

    Args:
        num_clips (int): Number of clips. Defaults to 4.
    """

    def __init__(self, num_clips: int = 4) -> None:
        self.num_clips = num_clips
        self.clips: list[tuple[Tensor, Any]] = []

    def before_val_epoch(self, runner: Runner) -> None:
        self.clips = []

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Keep a clip ``(3, T, H, W)`` and its prediction."""
        left = self.num_clips - len(self.clips)
        if is_main_process() and left > 0:
            shown = zip(data_batch['inputs'][:left], outputs) if isinstance(data_batch, dict) else ()
            self.clips += [(views[0], sample) for views, sample in shown if _is_clip(views, sample)]

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Draw them."""
        model = bare_model(runner)
        classes = getattr(runner.val_dataloader.dataset, 'metainfo', {}).get('classes')
        for number, (clip, sample) in enumerate(self.clips):
            picture = _draw(model, clip, sample, classes or [str(n) for n in range(len(sample.pred_scores.item))])
            runner.visualizer.add_image(f'validation_{number}', picture, runner.epoch)


def _is_clip(views: Any, sample: Any) -> bool:
    return isinstance(views, Tensor) and views.ndim == 5 and hasattr(sample, 'pred_scores')


def _draw(model: Any, clip: Tensor, sample: Any, classes: list[str]) -> np.ndarray:
    """Frames over the same frames with their attention, and a line of words, ``(H, W, 3)``."""
    from mmtsf.visualization import overlay, relative, rollout, with_words  # matplotlib costs every start-up

    scale = max(HEIGHT / clip.shape[2], 1)
    frames = [cv2.resize(frame, None, fx=scale, fy=scale) for frame in clip.byte().permute(1, 2, 3, 0).cpu().numpy()]
    rows = np.stack(frames)  # (T, H, W, 3)
    if isinstance(getattr(model, 'backbone', None), TimeSformer):
        data = model.data_preprocessor(dict(inputs=[clip[None]], data_samples=[sample]))
        weights = rollout(model.backbone, data['inputs'][0]).cpu().numpy()
        rows = np.concatenate([rows, overlay(rows, relative(weights))], axis=1)  # (T, 2 H, W, 3)
    best = int(sample.pred_scores.item.argmax())
    label = ', '.join(classes[label] for label in sample.gt_labels.item.tolist())
    words = f'{classes[best]} {sample.pred_scores.item[best]:.0%}, labelled {label}'
    return with_words(np.concatenate(list(rows), axis=1), [words])
