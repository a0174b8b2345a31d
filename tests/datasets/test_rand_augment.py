"""Random operations on clips, and erasing."""

import cv2
import numpy as np
import pytest

from mmtsf.datasets.transforms import RandAugment
from mmtsf.datasets.transforms.image_operations import (
    OPERATIONS,
    auto_contrast,
    brightness,
    color,
    contrast,
    equalize,
    posterize,
    rotate,
    shear_x,
    solarize,
    translate_x,
    translate_y,
)
from mmtsf.registry import TRANSFORMS


def frame(seed: int = 0, height: int = 20, width: int = 30) -> np.ndarray:
    """A smooth random picture."""
    small = np.random.default_rng(seed).integers(30, 220, (4, 5, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize('operation', OPERATIONS, ids=lambda operation: operation.__name__)
@pytest.mark.parametrize('strength', [-0.9, 0.9])
def test_equal_frames_stay_equal_and_shape_and_type_stay(operation, strength) -> None:
    clip = np.stack([frame()] * 3)
    before = clip.copy()
    changed = operation(clip, strength)
    assert (changed.shape, changed.dtype) == (clip.shape, np.uint8)
    assert (changed == changed[:1]).all()
    assert (changed != before).any() == (operation.__name__ != 'identity')
    assert (clip == before).all()


@pytest.mark.parametrize(
    'operation', [rotate, shear_x, translate_x, translate_y, brightness, contrast, color], ids=lambda o: o.__name__
)
def test_no_strength_changes_nothing(operation) -> None:
    clip = np.stack([frame(0), frame(1)])
    assert np.abs(operation(clip, 0.0).astype(int) - clip).max() <= 1


def test_operations_do_what_they_are_called() -> None:
    clip = np.stack([frame(0), frame(1)])
    assert (translate_x(clip, 1 / 0.45 * 4 / 30)[:, :, 4:] == clip[:, :, :-4]).all()
    assert (translate_y(clip, -1 / 0.45 * 3 / 20)[:, :-3] == clip[:, 3:]).all()
    assert (rotate(clip, 0.0) == clip).all()
    assert (solarize(clip, 1.0) == 255 - clip).all()
    assert (posterize(clip, 1.0) == clip // 16 * 16).all()
    stretched = auto_contrast(clip, 0.9)
    assert (stretched.min(axis=(0, 1, 2)) == 0).all()
    assert (stretched.max(axis=(0, 1, 2)) == 255).all()
    assert equalize(clip, 0.9).astype(float).std() > clip.astype(float).std()
    assert abs(brightness(clip, 0.5).mean() / np.minimum(clip * 1.45, 255).mean() - 1) < 0.01
    assert np.ptp(color(clip, -1.0).astype(int), axis=-1).mean() < 0.15 * np.ptp(clip.astype(int), axis=-1).mean()


def drawn(seed: int, frames: list[np.ndarray], **options) -> np.ndarray:
    np.random.seed(seed)
    augment = RandAugment(**dict(num_ops=4, magnitude=7.0, magnitude_std=0.5, prob=1.0) | options)
    return np.stack(augment(dict(imgs=list(frames)))['imgs'])


def test_all_frames_of_a_clip_are_changed_the_same_way() -> None:
    for seed in range(20):
        changed = drawn(seed, [frame()] * 4)
        assert (changed == changed[:1]).all()


def test_seeds_differ_and_repeat() -> None:
    clips = [drawn(seed, [frame()] * 2) for seed in range(10)]
    assert all((clip == drawn(seed, [frame()] * 2)).all() for seed, clip in enumerate(clips))
    assert len({clip.tobytes() for clip in clips}) > 7


def test_without_chance_or_operations_nothing_changes() -> None:
    assert (drawn(0, [frame()] * 2, prob=0.0) == frame()).all()
    assert (drawn(0, [frame()] * 2, num_ops=0) == frame()).all()


def test_a_magnitude_beyond_ten_is_named() -> None:
    with pytest.raises(ValueError, match='magnitude is 11, expected a number from 0 to 10'):
        RandAugment(magnitude=11)


def test_mmaction2s_erasing_takes_the_same_box_of_all_frames() -> None:
    np.random.seed(0)
    erase = TRANSFORMS.build(dict(type='RandomErasing', erase_prob=1.0, mode='rand'))
    clip = np.stack([frame()] * 3)
    erased = np.stack(erase(dict(imgs=[one.copy() for one in clip], img_shape=clip.shape[1:3]))['imgs'])
    changed = (erased != clip).any(axis=-1)
    rows, columns = np.nonzero(changed.any(axis=0))
    box = np.s_[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert changed[box].mean() > 0.9
    changed[box] = False
    assert not changed.any()
