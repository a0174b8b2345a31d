"""Draw where a model looks in a video."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmaction.models import BaseRecognizer
from mmengine.dataset import Compose
from torch import Tensor

from mmtsf.datasets.decoders import VideoReader
from mmtsf.datasets.transforms import open_as
from mmtsf.visualization import overlay, rollout, write_video

from .clip_packer import ClipPacker
from .recognizer import build_pipeline, to_sample, views_of


class MiddleClip(NamedTuple):
    """The clip that validation takes of a video: one crop of its middle.

    Attributes:
        sample (dict): As a data set gives it.
        clip (Tensor): As the backbone takes it, ``(1, 3, T, H, W)``.
        pipeline (Compose): What made it.
    """

    sample: dict
    clip: Tensor
    pipeline: Compose

    @property
    def frames(self) -> np.ndarray:
        """RGB ``(T, H, W, 3)`` uint8."""
        return self.sample['inputs'][0].byte().permute(1, 2, 3, 0).numpy()

    @property
    def numbers(self) -> np.ndarray:
        """Which frames of the video these are, ``(T,)``."""
        return self.sample['data_samples'].frame_inds


def middle_clip(model: BaseRecognizer, video: str | Path | dict) -> MiddleClip:
    """Read a video as validation does.

    Raises:
        BrokenVideoError: If it cannot be read.
    """
    pipeline = build_pipeline(model, 'val')
    sample = pipeline(to_sample(video))
    return MiddleClip(sample, views_of(model, sample), pipeline)


def attention_maps(model: BaseRecognizer, clip: Tensor) -> dict[str, np.ndarray]:
    """Attention ``(T, h, w)`` of the classification token, rolled out over all blocks; where the scheme has several
    steps, also with one of them alone below the last block. By the steps' names."""
    steps = list(model.backbone.blocks[0].attention.steps)
    parts = {name: [name] for name in steps} if len(steps) > 1 else {}
    return {
        name: rollout(model.backbone, clip, part).cpu().numpy() for name, part in {'attention': None, **parts}.items()
    }


def write_attention(video: str | Path | VideoReader, clip: MiddleClip, maps: dict[str, np.ndarray], out: Path) -> None:
    """Write all frames of a video from the first of a clip to its last, side by side with their attention, which
    changes evenly between the clip's frames.

    Args:
        video (str | Path | VideoReader): The video.
        clip (MiddleClip): Its clip.
        maps (dict[str, np.ndarray]): Attention ``(T, h, w)`` by name, one beside the other.
        out (Path): File to write, ``.mp4``.
    """
    reader = open_as(clip.pipeline, str(video)) if isinstance(video, (str, Path)) else video
    packer = ClipPacker(clip.pipeline)
    numbers, places = np.unique(clip.numbers, return_index=True)
    shares = [weights[places] / weights.max() for weights in maps.values()]
    between = np.arange(numbers[0], numbers[-1] + 1)

    def pictures() -> Iterator[np.ndarray]:
        for number, frame in zip(between, reader.stream(between)):
            seen = packer.pack([packer.shrink(frame)])['inputs'][0].byte().permute(1, 2, 3, 0).numpy()  # (1, H, W, 3)
            covered = [overlay(seen, _between(number, numbers, share)[None]) for share in shares]
            yield np.concatenate([seen, *covered], axis=2)[0]

    times = None if reader.times is None else reader.times[between].tolist()
    write_video(out, pictures(), reader.fps or 30, times)


def _between(number: int, numbers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Map ``(h, w)`` of a frame between the ``numbers`` ``(T,)`` of which there are ``weights`` ``(T, h, w)``."""
    after = min(int(np.searchsorted(numbers, number)), len(numbers) - 1)
    before = max(after - 1, 0)
    share = (number - numbers[before]) / max(numbers[after] - numbers[before], 1)
    return (1 - share) * weights[before] + share * weights[after]
