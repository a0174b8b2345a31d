"""Crop a clip into several views for testing."""

import numpy as np
from mmcv.transforms import BaseTransform

from mmtsf.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CropViews(BaseTransform):
    """Cut square crops at equal distances along the longer side: 1 is the centre; 3 are left, centre and right, or
    top, centre and bottom (the paper's test protocol).

    Required keys: imgs, img_shape. Changed keys: imgs (all frames of the first crop, then of the next), img_shape.

    Args:
        size (int): Height and width of a crop in pixels; no frame may be smaller.
        num_crops (int): Number of crops. Defaults to 1.
    """

    def __init__(self, size: int, num_crops: int = 1) -> None:
        if num_crops < 1:
            raise ValueError(f'num_crops is {num_crops}, expected at least 1')
        self.size = size
        self.num_crops = num_crops

    def transform(self, results: dict) -> dict:
        height, width = results['img_shape']
        if min(height, width) < self.size:
            raise ValueError(
                f'cannot cut crops of {self.size} pixels from frames of {height} x {width} (height x '
                'width); resize the short side first'
            )
        places = np.linspace(0, 1, self.num_crops) if self.num_crops > 1 else np.array([0.5])
        along_width = width >= height
        imgs = []
        for place in places:
            top = int((height - self.size) * (0.5 if along_width else place))
            left = int((width - self.size) * (place if along_width else 0.5))
            imgs += [img[top : top + self.size, left : left + self.size] for img in results['imgs']]
        results['imgs'] = imgs
        results['img_shape'] = (self.size, self.size)
        return results
