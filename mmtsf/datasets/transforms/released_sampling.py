"""Sample frames as the released code does: facebookresearch/TimeSformer, ``datasets/decoder.py`` and ``ssv2.py``."""

import numpy as np
import torch

from mmtsf.datasets.decoders.frame_index import Clock
from mmtsf.registry import TRANSFORMS

from .sample_clips import SampleClips
from .sample_segments import SampleSegments


@TRANSFORMS.register_module()
class ReleasedSampleClips(SampleClips):
    """Spread the frames of a clip over ``num_frames * frame_interval`` frames at 30 a second, 255/7 apart for 8 x 32.

    A container that tells how long a video is has each clip cut out by presentation times, and its frames counted from
    the first one that is shown no earlier than the clip begins. Other videos are counted from their first frame.

    Required and added keys are those of :class:`SampleClips`; of the key reader its ``clock``, where it has one.

    Args:
        num_frames (int): Frames T of a clip.
        frame_interval (int): Distance of neighbouring frames at ``target_fps``, about.
        start (str): Where clips begin. ``'random'``: anywhere (training). ``'first'``: evenly over the video, the first
            one at its beginning.
        num_clips (int): Number of clips. Defaults to 1.
        target_fps (float): Frame rate that ``frame_interval`` refers to. Defaults to 30.
        frame_order (str): ``'forward'``, or ``'reversed'`` to see whether a model uses the order of frames. Defaults to
            ``'forward'``.

    Raises:
        ValueError: If an argument is none of these.
    """

    STARTS = ('random', 'first')

    def __init__(
        self,
        num_frames: int,
        frame_interval: int,
        start: str,
        num_clips: int = 1,
        target_fps: float = 30,
        frame_order: str = 'forward',
    ) -> None:
        super().__init__(num_frames, frame_interval, start, num_clips, target_fps, frame_order)
        self.fps = target_fps

    def sample(self, results: dict) -> np.ndarray:
        total, clock = results['total_frames'], getattr(results.get('reader'), 'clock', None)
        span = self.frame_interval * self.num_frames / self.fps * (results.get('avg_fps') or self.fps)
        last_start = max((clock.num_frames if clock else total) - span, 0)
        starts = last_start * np.arange(self.num_clips) / self.num_clips
        if self.start == 'random':
            starts = np.random.uniform(0, last_start, self.num_clips)
        return np.stack([self._timed(s, span, clock) if clock else self._linspace(s, s + span - 1) for s in starts])

    def _timed(self, start: float, span: float, clock: Clock) -> np.ndarray:
        """Frames of the clip that is shown from ``start`` on, both counted at the average rate."""
        units = clock.duration / clock.num_frames
        first = np.searchsorted(clock.times, int(start * units))
        behind = np.searchsorted(clock.times, int((start + span - 1) * units), 'right')
        return first + np.minimum(self._linspace(0, span - 1), max(int(behind - first), 0))

    def _linspace(self, first: float, last: float) -> np.ndarray:
        """Frame numbers from first to last, those between them rounded down from float32, as there."""
        return torch.linspace(first, last, self.num_frames).long().numpy()


@TRANSFORMS.register_module()
class ReleasedSampleSegments(SampleSegments):
    """In testing, take the frame in the middle between the rounded edges of each segment; all clips have the same ones.
    In training, any frame from edge to edge.

    Args:
        clip_len (int): Frames T of a clip, and segments of the video.
        num_clips (int): Number of clips. Defaults to 1.
        test_mode (bool): Whether frames lie at fixed places of their segments. Defaults to False.
        frame_order (str): ``'forward'``, or ``'reversed'`` to see whether a model uses the order of frames. Defaults to
            ``'forward'``.

    Raises:
        ValueError: If ``frame_order`` is neither.
    """

    def transform(self, results: dict) -> dict:
        results = super().transform(results)
        if self.test_mode:
            edges = np.round((results['total_frames'] - 1) / self.clip_len * np.arange(self.clip_len + 1)).astype(int)
            clip = (edges[:-1] + edges[1:]) // 2 + results['start_index']
            results['frame_inds'] = np.tile(clip[::-1] if self.reverse else clip, self.num_clips)
        return results
