"""Sample clips of frames at a fixed rate."""

import math

import numpy as np
from mmcv.transforms import BaseTransform

from mmtsf.registry import TRANSFORMS

ORDERS = ('forward', 'reversed')
#: Seconds by which times that are the same may differ
ROUNDING = 1e-4


def is_reversed(frame_order: str) -> bool:
    """Whether frames of a clip come last one first.

    Raises:
        ValueError: If this is no order.
    """
    if frame_order not in ORDERS:
        raise ValueError(f'frame_order is {frame_order!r}, expected one of {ORDERS}')
    return frame_order == 'reversed'


def is_variable(times: np.ndarray) -> bool:
    """Whether frames are shown for different times: one of them for half as long again as most, or half as long."""
    lasts = np.diff(times[:-1])
    return len(lasts) > 0 and bool(np.abs(lasts / np.median(lasts) - 1).max() > 0.5)


@TRANSFORMS.register_module()
class SampleClips(BaseTransform):
    """Sample clips of ``num_frames`` frames, one every ``frame_interval`` frames (the paper's rate 1/32 is 32).

    Frames that a short video lacks are filled with its last one.

    Required keys: total_frames; avg_fps, times and start_index where the video has them. Added keys: frame_inds
    ``(num_clips * num_frames,)``, which count from start_index, clip_len, frame_interval, num_clips.

    Args:
        num_frames (int): Frames T of a clip.
        frame_interval (int): Distance of neighbouring frames.
        start (str): Where clips begin. ``'random'``: anywhere (training). ``'middle'``: evenly over the video, one
            clip in its middle (paper). ``'cover'``: as many clips as it takes, one after the other, from frame 0 to the
            end (the paper's HowTo100M protocol); the last one ends with the video, and overlaps the one before it.
        num_clips (int): Number of clips; 1 with ``'cover'``, which finds it itself. Defaults to 1.
        target_fps (float, optional): Frame rate that ``frame_interval`` refers to; videos of another known rate are
            sampled at the same distances in seconds, those of a variable rate by the times at which frames are shown.
            Defaults to None: distances in frames.
        frame_order (str): ``'forward'``, or ``'reversed'`` to see whether a model uses the order of frames. Defaults to
            ``'forward'``.
        spacing (str): ``'exact'``, as configs of version 0.1 say. Defaults to that.

    Raises:
        ValueError: If an argument is none of these.
    """

    STARTS: tuple[str, ...] = ('random', 'middle', 'cover')

    def __init__(
        self,
        num_frames: int,
        frame_interval: int,
        start: str,
        num_clips: int = 1,
        target_fps: float | None = None,
        frame_order: str = 'forward',
        spacing: str = 'exact',
    ) -> None:
        if spacing != 'exact':
            raise ValueError(f"spacing is {spacing!r}, expected 'exact'; use ReleasedSampleClips for 'linspace'")
        for name, value in (('num_frames', num_frames), ('frame_interval', frame_interval), ('num_clips', num_clips)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f'{name} is {value!r}, expected an integer of at least 1')
        if start not in self.STARTS:
            other = "; use ReleasedSampleClips for 'first'" if start == 'first' else ''
            raise ValueError(f'start is {start!r}, expected one of {self.STARTS}{other}')
        if start == 'cover' and num_clips != 1:
            raise ValueError(
                f"num_clips is {num_clips}, but clips that cover a video (start='cover') are as many as its length "
                "takes; leave it at 1, as view='1x1' and view='1x3' do"
            )
        self.num_frames = num_frames
        self.frame_interval = frame_interval
        self.start = start
        self.num_clips = num_clips
        self.target_fps = target_fps
        self.reverse = is_reversed(frame_order)

    def transform(self, results: dict) -> dict:
        clips = self.sample(results).astype(int).clip(0, results['total_frames'] - 1)
        clips = clips + results.get('start_index', 0)
        results['frame_inds'] = (clips[:, ::-1] if self.reverse else clips).reshape(-1)
        results['clip_len'] = self.num_frames
        results['frame_interval'] = self.frame_interval
        results['num_clips'] = len(clips)
        return results

    def sample(self, results: dict) -> np.ndarray:
        """Frames ``(num_clips, num_frames)``, of which the part before the point counts; beyond its end a video has its
        last one."""
        total, fps, times = results['total_frames'], results.get('avg_fps'), results.get('times')
        if not self.target_fps:
            return self._spread(total, self.frame_interval)
        if times is None or not is_variable(times):
            return self._spread(total, self.frame_interval * (fps / self.target_fps if fps else 1))
        seconds = self._spread((times[-1] - times[0]) * self.target_fps, self.frame_interval) / self.target_fps
        return times.searchsorted(times[0] + seconds + ROUNDING, 'right') - 1

    def _spread(self, total: float, interval: float) -> np.ndarray:
        steps: np.ndarray = np.arange(self.num_frames) * interval
        # 255 frames or 8.5 s at 30 a second for 8 x 32: 48 clips of 400 s, as in the paper's Table 8
        span = max(self.num_frames * interval - 1, steps[-1] + 1)
        return self._starts(total, span, max(total - (steps[-1] + 1), 0))[:, None] + steps

    def _starts(self, total: float, span: float, last_start: float) -> np.ndarray:
        """First frame of every clip."""
        if self.start == 'random':
            return np.random.randint(0, int(last_start) + 1, self.num_clips)
        if self.start == 'cover':
            return np.minimum(np.arange(math.ceil(total / span)) * span, last_start)  # the last one ends with the video
        if self.num_clips == 1:
            return np.array([last_start // 2])
        return np.linspace(0, last_start, self.num_clips).round()
