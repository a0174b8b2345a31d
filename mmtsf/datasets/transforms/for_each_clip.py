"""Make several training samples from one decoding of a video."""

from collections.abc import Callable

from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import FUNCTIONS

from mmtsf.datasets.loading.stacked_batch import stacked
from mmtsf.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ForEachClip(BaseTransform):
    """Augment and pack each clip of a video by itself (repeated augmentation, Hoffer et al., arXiv 1901.09335).

    The last transform of a pipeline, whose result becomes a list of samples: a data loader needs
    ``collate_fn=dict(type='flat_collate')``.

    Required keys: imgs (all frames of the first clip, then of the next), num_clips, clip_len.

    Args:
        transforms (list): Transforms of a clip.
    """

    def __init__(self, transforms: list[dict | Callable]) -> None:
        self.transforms = Compose(transforms)

    def transform(self, results: dict) -> list[dict]:  # type: ignore[override]
        frames, length = results['imgs'], results['clip_len']
        clips = [frames[start : start + length] for start in range(0, len(frames), length)]
        return [self.transforms(dict(results, imgs=clip, num_clips=1)) for clip in clips]


@FUNCTIONS.register_module()  # MMEngine looks for functions in its own registry alone
def flat_collate(batch: list[dict | list[dict]]) -> dict:
    """Collate samples, of some videos perhaps a list of them, as one batch, whose clips are stacked if they have one
    shape."""
    lists = (samples if isinstance(samples, list) else [samples] for samples in batch)
    return stacked(pseudo_collate([sample for samples in lists for sample in samples]))
