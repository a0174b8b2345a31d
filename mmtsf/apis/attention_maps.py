"""Draw where a model looks in a video."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from mmaction.models import BaseRecognizer
from mmengine.dataset import Compose
from torch import Tensor

from mmtsf.datasets.decoders import VideoReader, times_of
from mmtsf.datasets.transforms import open_as
from mmtsf.visualization import overlay, relative, rollout, with_words, write_video
from mmtsf.visualization.overlay import Box

from .clip_packer import ClipPacker
from .recognizer import build_pipeline, to_sample, views_of

#: Shorter side of a frame that is drawn beside others, at least, and width of all of them at most; pixels
LEAST, WIDEST = 240, 3840
#: Shorter side of a frame in a strip, at most
DRAWN = 360
SMALLER, LARGER = cv2.INTER_AREA, cv2.INTER_CUBIC


class Frames(NamedTuple):
    """Frames of a video as they are, not as a model takes them.

    Attributes:
        pictures (np.ndarray): RGB ``(T, H, W, 3)`` uint8, with a shorter side of 360 pixels at most.
        times (list[float] | None): Seconds at which they are shown, if the video tells.
        box (Box): What a model sees of each, see :func:`mmtsf.visualization.overlay`.
    """

    pictures: np.ndarray
    times: list[float] | None
    box: Box


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

    def of_video(self, video: str | Path | VideoReader) -> Frames:
        """Read its frames again, as they are in the video.

        Raises:
            BrokenVideoError: If they cannot be read.
        """
        reader = open_as(self.pipeline, str(video)) if isinstance(video, (str, Path)) else video
        wanted, places = np.unique(self.numbers, return_inverse=True)
        pictures = np.stack([_scaled(frame, 0, DRAWN) for frame in reader.stream(wanted)])[places]
        times = None if reader.times is None else reader.times[self.numbers].tolist()
        return Frames(pictures, times, ClipPacker(self.pipeline).box(*pictures.shape[1:3]))


def middle_clip(model: BaseRecognizer, video: str | Path | dict) -> MiddleClip:
    """Read a video as validation does.

    Raises:
        BrokenVideoError: If it cannot be read.
    """
    pipeline = build_pipeline(model, 'val')
    sample = pipeline(to_sample(video))
    return MiddleClip(sample, views_of(model, sample), pipeline)


def attention_maps(model: BaseRecognizer, clip: Tensor) -> dict[str, np.ndarray]:
    """Attention ``(T, h, w)`` of the classification token for each frame, rolled out over all blocks; where the scheme
    has several steps, also with one of them alone below the last block. By the steps' names."""
    steps = list(model.backbone.blocks[0].attention.steps)
    parts = {name: [name] for name in steps} if len(steps) > 1 else {}
    maps = {name: rollout(model.backbone, clip, part) for name, part in {'attention': None, **parts}.items()}
    return {name: of_frames(weights, clip.shape[2]) for name, weights in maps.items()}


def of_frames(weights: Tensor, num_frames: int) -> np.ndarray:
    """Attention ``(T, h, w)`` for each frame, of weights that may be of tubelets, with several frames each."""
    return weights.cpu().numpy()[np.arange(num_frames) * len(weights) // num_frames]


def write_attention(video: str | Path | VideoReader, clip: MiddleClip, maps: dict[str, np.ndarray], out: Path) -> None:
    """Write all frames of a video from the first of a clip to its last, beside the same with their attention, which
    changes evenly between the clip's frames. Colours are those of :func:`mmtsf.visualization.draw_attention`.

    Args:
        video (str | Path | VideoReader): The video.
        clip (MiddleClip): Its clip.
        maps (dict[str, np.ndarray]): Attention ``(T, h, w)`` by name, one beside the other.
        out (Path): File to write, ``.mp4``.
    """
    reader = open_as(clip.pipeline, str(video)) if isinstance(video, (str, Path)) else video
    numbers, places = np.unique(clip.numbers, return_index=True)
    shares = {name: relative(weights)[places] for name, weights in maps.items()}
    between = np.arange(numbers[0], numbers[-1] + 1)
    box_of = lru_cache(ClipPacker(clip.pipeline).box)  # of a size of frames

    def pictures() -> Iterator[np.ndarray]:
        for number, time, frame in zip(between, times_of(reader)[between], reader.stream(between)):
            drawn = {name: _between(number, numbers, share) for name, share in shares.items()}
            frame = _scaled(frame, LEAST, WIDEST / (len(drawn) + 1) * min(1, frame.shape[0] / frame.shape[1]))
            box = box_of(*frame.shape[:2])
            panels = {f'{time:.2f} s' if reader.fps else f'frame {number}': frame}
            panels |= {name: overlay([frame], weights[None], box)[0] for name, weights in drawn.items()}
            yield np.concatenate([with_words(panel, [words]) for words, panel in panels.items()], axis=1)

    times = None if reader.times is None else reader.times[between].tolist()
    write_video(out, pictures(), reader.fps or 30, times)


def _scaled(frame: np.ndarray, least: float, most: float) -> np.ndarray:
    """Scale a frame so that its shorter side lies between two numbers of pixels."""
    height, width = frame.shape[:2]
    scale = min(max(least / min(height, width), 1), most / min(height, width))
    size = (round(width * scale), round(height * scale))
    return frame if scale == 1 else cv2.resize(frame, size, interpolation=SMALLER if scale < 1 else LARGER)


def _between(number: int, numbers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Map ``(h, w)`` of a frame between the ``numbers`` ``(T,)`` of which there are ``weights`` ``(T, h, w)``."""
    after = min(int(np.searchsorted(numbers, number)), len(numbers) - 1)
    before = max(after - 1, 0)
    share = (number - numbers[before]) / max(numbers[after] - numbers[before], 1)
    return (1 - share) * weights[before] + share * weights[after]
