"""Change the brightness of clips."""

import numpy as np
from mmcv.transforms import BaseTransform

from mmtsf.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomGamma(BaseTransform):
    """Apply one random gamma to all frames of a clip.

    Required and modified keys: imgs, a list of frames ``(H, W, 3)`` of uint8.

    Args:
        limit (float): The gamma lies between ``1 / limit`` and ``limit``.
    """

    def __init__(self, limit: float) -> None:
        if limit < 1:
            raise ValueError(f'limit is {limit}, expected 1 or more')
        self.limit = limit

    def transform(self, results: dict) -> dict:
        gamma = self.limit ** np.random.uniform(-1, 1)  # NumPy and Python have the seed of the sample
        table = (255 * (np.arange(256) / 255) ** gamma).round().astype(np.uint8)
        results['imgs'] = [table[frame] for frame in results['imgs']]
        return results
