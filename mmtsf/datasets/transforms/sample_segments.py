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

    def transform(self, results: dict) -> dict:
        draws = 1 if self.test_mode else self.num_clips
        drawn = [UniformSample.transform(self, results)['frame_inds'] for _ in range(draws)]
        indices = np.concatenate(drawn).reshape(-1, self.clip_len)
        results['frame_inds'] = (indices[:, ::-1] if self.reverse else indices).reshape(-1)
        return results
