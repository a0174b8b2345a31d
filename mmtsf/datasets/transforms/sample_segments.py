"""Clips of one frame from each segment of a video."""

import numpy as np
from mmaction.datasets.transforms import UniformSample

from mmtsf.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SampleSegments(UniformSample):
    """MMAction2's ``UniformSample``, which draws a single clip in training, for several (segments of Temporal Segment
    Networks, Wang et al., arXiv 1608.00859). Takes its arguments."""

    def _get_sample_clips(self, num_frames: int) -> np.ndarray:
        draws = 1 if self.test_mode else self.num_clips
        return np.concatenate([super(SampleSegments, self)._get_sample_clips(num_frames) for _ in range(draws)])
