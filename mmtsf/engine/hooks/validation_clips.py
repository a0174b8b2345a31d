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

from .logger import named_in_the_log

#: Least height of a shown frame in pixels, for words to be read
HEIGHT = 112


@HOOKS.register_module()
class ValidationClipsHook(Hook):
    """Show the first clips of each validation: frames, the prediction, and of a TimeSformer the attention rolled out.

    Nothing is shown of data that are no clips, of models that predict no classes, or where files alone are logged to.

    Args:
        num_clips (int): Number of clips. Defaults to 4.
    """

    def __init__(self, num_clips: int = 4) -> None:
        self.num_clips = num_clips
        self.clips: list[tuple[Tensor, Any]] = []
        self.is_seen = True

    def before_val_epoch(self, runner: Runner) -> None:
        """Begin anew."""
        self.clips, self.is_seen = [], getattr(runner.visualizer, 'shows_pictures', True)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Keep a clip ``(3, T, H, W)`` and its prediction."""
        left = self.num_clips - len(self.clips)
        if is_main_process() and self.is_seen and left > 0:
            shown = zip(data_batch['inputs'][:left], outputs) if isinstance(data_batch, dict) else ()
            self.clips += [(views[0], sample) for views, sample in shown if _is_clip(views, sample)]

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Draw them."""
        model = bare_model(runner)
        classes = getattr(runner.val_dataloader.dataset, 'metainfo', {}).get('classes')
        for number, (clip, sample) in enumerate(self.clips):
            frames, words = _draw(model, clip, sample, classes or [str(n) for n in range(len(sample.pred_scores.item))])
            with named_in_the_log(runner):
                _show(runner, f'validation_{number}', frames, words)


def _show(runner: Runner, name: str, frames: np.ndarray, words: str) -> None:
    """Log a clip ``(T, H, W, 3)`` as a picture of all frames, and as a video where that is possible."""
    from mmtsf.visualization import with_words
    from mmtsf.visualization.tracking import RunVisualizer

    runner.visualizer.add_image(name, with_words(np.concatenate(list(frames), axis=1), [words]), runner.epoch)
    if isinstance(runner.visualizer, RunVisualizer):
        runner.visualizer.add_video(name, [with_words(frame, [words]) for frame in frames], runner.epoch)


def _is_clip(views: Any, sample: Any) -> bool:
    return isinstance(views, Tensor) and views.ndim == 5 and hasattr(sample, 'pred_scores')


def _draw(model: Any, clip: Tensor, sample: Any, classes: list[str]) -> tuple[np.ndarray, str]:
    """Frames over the same frames with their attention, ``(T, H, W, 3)``, and a line of words."""
    from mmtsf.visualization import overlay, relative, rollout  # matplotlib costs every start-up

    scale = max(HEIGHT / clip.shape[2], 1)
    frames = [cv2.resize(frame, None, fx=scale, fy=scale) for frame in clip.byte().permute(1, 2, 3, 0).cpu().numpy()]
    rows = np.stack(frames)  # (T, H, W, 3)
    if isinstance(getattr(model, 'backbone', None), TimeSformer):
        data = model.data_preprocessor(dict(inputs=[clip[None]], data_samples=[sample]))
        weights = rollout(model.backbone, data['inputs'][0]).cpu().numpy()
        rows = np.concatenate([rows, overlay(rows, relative(weights))], axis=1)  # (T, 2 H, W, 3)
    best = int(sample.pred_scores.item.argmax())
    label = ', '.join(classes[label] for label in sample.gt_labels.item.tolist())
    return rows, f'{classes[best]} {sample.pred_scores.item[best]:.0%}, labelled {label}'
