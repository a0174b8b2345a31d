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
        corners = self.corners(height, width)
        results['imgs'] = [img[y : y + self.size, x : x + self.size] for y, x in corners for img in results['imgs']]
        results['img_shape'] = (self.size, self.size)
        return results

    def corners(self, height: int, width: int) -> list[tuple[int, int]]:
        """Upper left corner ``(y, x)`` of each crop of a frame."""
        places = np.linspace(0, 1, self.num_crops) if self.num_crops > 1 else [0.5]
        spare_y, spare_x = height - self.size, width - self.size
        if width >= height:
            return [(int(spare_y * 0.5), int(spare_x * place)) for place in places]
        return [(int(spare_y * place), int(spare_x * 0.5)) for place in places]
