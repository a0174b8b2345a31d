"""Augment a clip by operations drawn at random (RandAugment)."""

import numpy as np
from mmcv.transforms import BaseTransform

from mmtsf.registry import TRANSFORMS

from .image_operations import OPERATIONS


@TRANSFORMS.register_module()
class RandAugment(BaseTransform):
    """A few operations drawn at random, the same for all frames of a clip (RandAugment, arXiv 1909.13719).

    Required keys: imgs (RGB, uint8, of one size). Changed keys: imgs.

    Args:
        num_ops (int): Operations that are drawn. Defaults to 2.
        magnitude (float): Their strength, from 0 to 10. Defaults to 9.
        magnitude_std (float): Standard deviation of the strength. Defaults to 0.
        prob (float): Probability that a drawn operation is done. Defaults to 0.5, as in timm.
    """

    def __init__(self, num_ops: int = 2, magnitude: float = 9.0, magnitude_std: float = 0.0, prob: float = 0.5) -> None:
        if not 0 <= magnitude <= 10:
            raise ValueError(f'magnitude is {magnitude}, expected a number from 0 to 10')
        self.num_ops = num_ops
        self.magnitude = magnitude
        self.magnitude_std = magnitude_std
        self.prob = prob

    def transform(self, results: dict) -> dict:
        clip = np.stack(results['imgs'])
        for number in np.random.randint(len(OPERATIONS), size=self.num_ops):
            if np.random.rand() < self.prob:
                strength = np.clip(np.random.normal(self.magnitude, self.magnitude_std), 0, 10) / 10
                clip = OPERATIONS[number](clip, float(strength * np.random.choice([-1, 1])))
        results['imgs'] = list(clip)
        return results
