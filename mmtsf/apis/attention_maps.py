"""Draw where a model looks in a video."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmaction.models import BaseRecognizer
from mmengine.dataset import Compose, pseudo_collate
from torch import Tensor

from mmtsf.datasets.decoders import VideoReader, times_of
from mmtsf.datasets.transforms import open_as
from mmtsf.visualization import (
    attention_of,
    draw_attention,
    overlay,
    relative,
    rollout,
    with_words,
    write_video,
)
from mmtsf.visualization.overlay import Box

from .clip_packer import ClipPacker, covering
from .inferencer import best_classes
from .recognizer import build_pipeline, to_sample, views_of
from .timeline import windows

#: Shorter side of a frame that is drawn beside others, at least, and width of all of them at most; pixels
LEAST, WIDEST = 320, 3840
#: Shorter side of a frame in a strip, at most
DRAWN = 360
#: Score from which a name is written on a film
LIKELY = 0.01
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
    """Read a video as validation does; where its views are several clips, the one in the middle of them.

    Raises:
        BrokenVideoError: If it cannot be read.
    """
    pipeline = build_pipeline(model, 'val')
    sample = pipeline(to_sample(video))
    count = len(sample['inputs'])
    sample['inputs'] = sample['inputs'][count // 2][None]
    numbers = np.reshape(sample['data_samples'].frame_inds, (count, -1))[count // 2]
    sample['data_samples'].set_metainfo(dict(frame_inds=numbers, num_clips=1))
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
        out (Path): File to write, ``.mp4`` or ``.gif``.
    """
    reader = open_as(clip.pipeline, str(video)) if isinstance(video, (str, Path)) else video
    numbers, places = np.unique(clip.numbers, return_index=True)
    shares = {name: relative(weights)[places] for name, weights in maps.items()}
    between = np.arange(numbers[0], numbers[-1] + 1)

    def words(time: float) -> list[str]:
        return [f'{time:.2f} s' if reader.fps else f'frame {time:.0f}']

    times = None if reader.times is None else reader.times[between].tolist()
    write_video(
        out, _beside(reader, between, numbers, shares, ClipPacker(clip.pipeline), words), reader.fps or 30, times
    )


@torch.no_grad()
def write_film(
    model: BaseRecognizer, video: str | Path, out: Path, topk: int = 3, frame_interval: int | None = None
) -> None:
    """Write a whole video with the names of the clips that cover it, beside the same with their attention.

    Args:
        model (BaseRecognizer): From :func:`init_recognizer`.
        video (str | Path): The video.
        out (Path): File to write, ``.mp4`` or ``.gif``.
        topk (int): Names a clip. Defaults to 3.
        frame_interval (int, optional): Distance of a clip's neighbouring frames. Defaults to None: that of the config.

    Raises:
        BrokenVideoError: If it cannot be read.
    """
    pipeline = build_pipeline(model, 'val')
    reader, packer = open_as(pipeline, str(video)), ClipPacker(pipeline)
    maps, ends, lines = dict[int, np.ndarray](), list[float](), list[list[str]]()
    for window in windows(reader, covering(model, frame_interval), packer.shrink):
        sample = packer.pack(window.frames)
        weights = of_frames(rollout(model.backbone, views_of(model, sample)), len(window.numbers))
        maps |= dict(zip(window.numbers.tolist(), weights))
        scores = model.test_step(pseudo_collate([sample]))[0].pred_scores.item.cpu().numpy()
        best = best_classes(scores, model.dataset_meta['classes'], topk)
        pairs = zip(best['names'], best['scores'])
        lines.append([f'{name} {score:.0%}' for name, score in pairs if score >= LIKELY])
        ends.append(window.end)
    numbers = np.array(sorted(maps))
    shares = {'attention': relative(np.stack([maps[number] for number in numbers.tolist()]))}

    def words(time: float) -> list[str]:
        return lines[min(bisect_right(ends, time), len(lines) - 1)]

    shown = np.arange(reader.num_frames)
    times = None if reader.times is None else reader.times[shown].tolist()
    write_video(out, _beside(reader, shown, numbers, shares, packer, words), reader.fps or 30, times)


@torch.no_grad()
def draw_middle_clip(model: BaseRecognizer, video: str | Path, out: Path, step: dict | None = None) -> None:
    """Draw a picture of a video's middle clip with attention and prediction, and write the clip beside it as a video.

    Args:
        model (BaseRecognizer): From :func:`init_recognizer`.
        video (str | Path): The video.
        out (Path): Picture to write, ``.png``; the video lies beside it.
        step (dict, optional): Arguments of :func:`mmtsf.visualization.attention_of`, for a map of one step in the place
            of the rollout's. Defaults to None.

    Raises:
        BrokenVideoError: If the video cannot be read.
        ValueError: If the model has no such step, or the step leaves the classification token out.
    """
    clip = middle_clip(model, video)
    if step:
        weights = attention_of(model.backbone, clip.clip, **step)
        if not weights.any():  # of the classification token alone
            words = f'the classification token takes no part in the step {step["step"]}; give --query FRAME ROW COLUMN'
            raise ValueError(words)
        maps = {step['step']: of_frames(weights, len(clip.numbers))}
    else:
        maps = attention_maps(model, clip.clip)
    scores = model.test_step(pseudo_collate([clip.sample]))[0].pred_scores.item.cpu().numpy()
    best = best_classes(scores, model.dataset_meta['classes'], 1)
    frames = clip.of_video(video)
    draw_attention(
        frames.pictures, maps, f'{best["names"][0]} ({best["scores"][0]:.0%})', out, frames.times, frames.box
    )
    write_attention(video, clip, maps, out.with_suffix('.mp4'))


def _beside(
    reader: VideoReader,
    shown: np.ndarray,
    numbers: np.ndarray,
    shares: dict[str, np.ndarray],
    packer: ClipPacker,
    words: Callable[[float], list[str]],
) -> Iterator[np.ndarray]:
    """Draw frames with words of their time, beside the same with attention, that of the ``numbers``."""
    box_of = lru_cache(packer.box)  # of a size of frames
    for number, time, frame in zip(shown, times_of(reader)[shown], reader.stream(shown)):
        frame = _scaled(frame, LEAST, WIDEST / (len(shares) + 1) * min(1, frame.shape[0] / frame.shape[1]))
        box = box_of(*frame.shape[:2])
        maps = {name: _between(number, numbers, share)[None] for name, share in shares.items()}
        covered = [with_words(overlay([frame], weights, box)[0], [name]) for name, weights in maps.items()]
        yield np.concatenate([with_words(frame, words(time)), *covered], axis=1)


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
    share = min((number - numbers[before]) / max(numbers[after] - numbers[before], 1), 1)
    return (1 - share) * weights[before] + share * weights[after]
