"""Draw clips of a data set as its pipeline returns them."""

from pathlib import Path

import numpy as np
from mmengine.registry import init_default_scope

from mmtsf.datasets.loading import SeededIndex, SeededItems
from mmtsf.registry import DATASETS

from .figures import draw_clips


def draw_dataset(config: dict, out: Path, videos: int, seed: int = 0) -> tuple[int, int]:
    """Draw the clips of some videos, evenly from the whole list, one a row.

    Args:
        config (dict): Config of a data set.
        out (Path): Picture to write.
        videos (int): Number of videos.
        seed (int): Seed of the augmentation. Defaults to 0.

    Returns:
        tuple[int, int]: Numbers of clips and videos that are drawn.
    """
    init_default_scope('mmtsf')
    dataset = DATASETS.build(config)
    chosen = np.linspace(0, len(dataset) - 1, min(videos, len(dataset))).round().astype(int).tolist()
    clips, titles, times = list[np.ndarray](), list[str](), list[list[float]]()
    for index in chosen:
        samples = SeededItems(dataset)[SeededIndex(index, (seed, index))]
        for sample in samples if isinstance(samples, list) else [samples]:
            clips += [view.byte().permute(1, 2, 3, 0).numpy() for view in sample['inputs']]
            titles += _titles_of(sample, getattr(dataset, 'metainfo', {}).get('classes'))
            times += _of_views(sample, 'frame_times')
    draw_clips(clips, titles, out, times if len(times) == len(clips) else None)
    return len(clips), len(chosen)


def _titles_of(sample: dict, classes: list[str] | None) -> list[str]:
    """File, frames and class of every view, as far as the pipeline tells them."""
    told = sample['data_samples']
    item = told.gt_labels.item
    labels = item.tolist() if len(item) == 1 else item.nonzero().flatten().tolist()
    words = ', '.join(classes[label] if classes else str(label) for label in labels)
    name = Path(told.get('filename', 'video')).name
    seen = _of_views(sample, 'frame_inds')
    if not seen:
        return [f'{name}: {words}'] * len(sample['inputs'])
    return [f'{name}, frames {numbers[0]} to {numbers[-1]}: {words}' for numbers in seen]


def _of_views(sample: dict, key: str) -> list[list]:
    """What a pipeline tells of each frame of every view; nothing where it does not."""
    told, (num_views, _, num_frames) = sample['data_samples'].get(key), sample['inputs'].shape[:3]
    if told is None:
        return []
    begins = np.reshape(told, (len(told), -1))[:, 0]  # a time is begin and end
    clips = begins.reshape(-1, num_frames).tolist()
    return [clips[view % len(clips)] for view in range(num_views)]  # crops of a clip lie one after the other
