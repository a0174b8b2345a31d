"""Sample clips of one frame from each segment of a video."""

import numpy as np
from mmaction.datasets.transforms import UniformSample

from mmtsf.registry import TRANSFORMS

from .sample_clips import is_reversed


@TRANSFORMS.register_module()
class SampleSegments(UniformSample):
    """MMAction2's ``UniformSample``, which draws a single clip in training, for several, and in either order (segments
    of Temporal Segment Networks, Wang et al., arXiv 1608.00859).

    Args:
        clip_len (int): Frames T of a clip, and segments of the video.
        num_clips (int): Number of clips. Defaults to 1.
        test_mode (bool): Whether frames lie at fixed places of their segments instead of random ones. Defaults to
            False.
        frame_order (str): ``'forward'``, or ``'reversed'`` to see whether a model uses the order of frames. Defaults to
            ``'forward'``.

    Raises:
        ValueError: If ``frame_order`` is neither.
    """

    def __init__(
        self, clip_len: int, num_clips: int = 1, test_mode: bool = False, frame_order: str = 'forward'
    ) -> None:
        super().__init__(clip_len, num_clips, test_mode)
        self.reverse = is_reversed(frame_order)

    def _get_sample_clips(self, num_frames: int) -> np.ndarray:
        draws = 1 if self.test_mode else self.num_clips
        indices = np.concatenate([super(SampleSegments, self)._get_sample_clips(num_frames) for _ in range(draws)])
        return indices.reshape(-1, self.clip_len)[:, ::-1].reshape(-1) if self.reverse else indices
