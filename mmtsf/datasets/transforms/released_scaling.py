"""Scale and crop frames as the released code does: facebookresearch/TimeSformer, ``datasets/transform.py``."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform

from mmtsf.registry import TRANSFORMS

from .crop_views import CropViews


@TRANSFORMS.register_module()
class ReleasedResize(BaseTransform):
    """Scale frames to a short side; the long side is rounded down, and pixels stay floats.

    Values between 0 and 255: normalising them afterwards gives what scaling normalised pixels does.

    Required keys: imgs, img_shape. Changed keys: imgs (float32 ``(h, w, 3)``), img_shape.

    Args:
        short_side (int | tuple[int, int]): Length of the short side in pixels; of a range, one is drawn (training).
        inverse (bool): Whether the reciprocal of a length is drawn evenly (Something-Something-V2), not the length
            itself. Defaults to False.
    """

    def __init__(self, short_side: int | tuple[int, int], inverse: bool = False) -> None:
        self.short_side = short_side
        self.inverse = inverse

    def transform(self, results: dict) -> dict:
        height, width = results['img_shape']
        side = self._side()
        size = (height, width)
        if min(size) != side:
            size = (
                (math.floor(height / width * side), side)
                if width < height
                else (side, math.floor(width / height * side))
            )
        results['imgs'] = [_scaled(img, size) for img in results['imgs']]
        results['img_shape'] = size
        return results

    def _side(self) -> int:
        if isinstance(self.short_side, int):
            return self.short_side
        low, high = self.short_side
        return round(1 / np.random.uniform(1 / high, 1 / low) if self.inverse else np.random.uniform(low, high))


@TRANSFORMS.register_module()
class ReleasedTestResize(ReleasedResize):
    """Scale frames for testing: several crops are as high as the frames, a single one may be smaller.

    Args:
        size (int): Height and width of a crop in pixels.
        num_crops (int): Number of crops.
        jitter (tuple[int, int], optional): Range of short sides in training, the lower of which frames get for a single
            crop (Kinetics). Defaults to None: they get that of the crop (Something-Something-V2).
    """

    def __init__(self, size: int, num_crops: int, jitter: tuple[int, int] | None = None) -> None:
        super().__init__(jitter[0] if jitter and num_crops == 1 else size)


@TRANSFORMS.register_module()
class ReleasedCropViews(CropViews):
    """Cut one crop from the centre, or two or three along the longer side: left, centre, right, or top, centre, bottom.
    Places of the centre are rounded up.

    Args:
        size (int): Height and width of a crop in pixels; no frame may be smaller.
        num_crops (int): Number of crops, 1 to 3. Defaults to 1.

    Raises:
        ValueError: If ``num_crops`` is none of these.
    """

    def __init__(self, size: int, num_crops: int = 1) -> None:
        super().__init__(size, num_crops)
        if num_crops > 3:
            raise ValueError(
                f'num_crops is {num_crops}, but the released code cuts 3 crops at most; take these, or protocol=paper'
            )

    def corners(self, height: int, width: int) -> list[tuple[int, int]]:
        y, x = (math.ceil((side - self.size) / 2) for side in (height, width))
        three = [(0, x), (y, x), (height - self.size, x)]
        if width >= height:
            three = [(y, 0), (y, x), (y, width - self.size)]
        return three[1:2] if self.num_crops == 1 else three[: self.num_crops]


def _scaled(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image ``(H, W, 3)`` in another size, float32; one of this size has its values."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    if image.shape[:2] != size:
        pixels = F.interpolate(pixels, size=size, mode='bilinear', align_corners=False)
    return pixels[0].permute(1, 2, 0).contiguous().numpy()
