"""Pack frames that come one after the other as clips that a model takes."""

from collections.abc import Sequence

import numpy as np
from mmaction.datasets.transforms import Resize
from mmaction.models import BaseRecognizer
from mmengine.dataset import Compose

from mmtsf.datasets.transforms import ReleasedResize, SampleClips
from mmtsf.datasets.transforms.read_video import OPENERS

from .recognizer import build_pipeline


class ClipPacker:
    """What a pipeline does to frames after their decoding, for frames that are not all there at once.

    Args:
        pipeline (Compose): Test pipeline of a config.

    Raises:
        ValueError: If it decodes no video.
    """

    def __init__(self, pipeline: Compose) -> None:
        names = [type(transform).__name__ for transform in pipeline.transforms]
        decode = next((place for place, name in enumerate(names) if name in OPENERS), None)
        if decode is None:
            raise ValueError(f'the test pipeline {", ".join(names)} has no DecodeFrames, behind which clips are packed')
        self._transforms = pipeline.transforms[decode + 1 :]
        self._resize = next((t for t in self._transforms if isinstance(t, (Resize, ReleasedResize))), None)

    def shrink(self, frame: np.ndarray) -> np.ndarray:
        """A frame ``(H, W, 3)`` of the size to which the pipeline brings it, to be kept until it is packed."""
        if self._resize is None:
            return frame
        return self._resize(dict(imgs=[frame], img_shape=frame.shape[:2], modality='RGB'))['imgs'][0]

    def pack(self, frames: Sequence[np.ndarray]) -> dict:
        """A sample of the frames ``(H, W, 3)`` of one clip, as a data set gives it."""
        clip = dict(imgs=list(frames), img_shape=frames[0].shape[:2], num_clips=1, clip_len=len(frames))
        return Compose(self._transforms)(dict(clip, modality='RGB', filename='clip', label=-1, broken=[]))

    def box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what a model sees in frames of this size, in pixels.

        Where a pipeline cuts several crops, this is the first. Places are found by sending them through the pipeline.
        """
        places = np.zeros((height, width, 3), np.float32)
        places[..., 0], places[..., 1] = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
        across, down, _ = self.pack([places])['inputs'][0, :, 0].double().numpy()
        left, right = _ends(across.mean(axis=0))
        top, bottom = _ends(down.mean(axis=1))
        return left, top, right, bottom


def covering(model: BaseRecognizer, frame_interval: int | None = None) -> SampleClips:
    """Clips of a model's length, one after the other over a whole video.

    Args:
        model (BaseRecognizer): From :func:`init_recognizer`.
        frame_interval (int, optional): Distance of a clip's neighbouring frames. Defaults to None: that of the config.

    Raises:
        ValueError: If the config has none, as it takes frames from all of a video.
    """
    own = next((t for t in build_pipeline(model).transforms if isinstance(t, SampleClips)), None)
    if own is not None:
        interval = frame_interval or own.frame_interval
        return SampleClips(own.num_frames, interval, 'cover', target_fps=own.target_fps)
    if frame_interval is not None:
        return SampleClips(model.cfg.model.backbone.num_frames, frame_interval, 'cover')
    raise ValueError(
        'the test pipeline has no SampleClips, as where frames are taken from all of a short video '
        '(data.sampling=segments); over time, give the distance of frames: --frame-interval'
    )


def _ends(centres: np.ndarray) -> tuple[float, float]:
    """Where the first of evenly spaced pixels begins, and the last one ends; those at the rims count little."""
    size, near, far = len(centres), len(centres) // 4, len(centres) - 1 - len(centres) // 4
    pitch = (centres[far] - centres[near]) / max(far - near, 1)
    begin = float(centres[near] - (near + 0.5) * pitch)
    return begin, begin + size * float(pitch)
