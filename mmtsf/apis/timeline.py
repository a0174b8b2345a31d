"""Classify the clips of a long video one after the other."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from mmaction.models import BaseRecognizer
from mmengine.dataset import pseudo_collate

from mmtsf.datasets.decoders import VideoReader

from .clip_packer import ClipPacker, covering
from .recognizer import build_pipeline


class Scene(NamedTuple):
    """What a model says of a part of a video.

    Attributes:
        start (float): Beginning in seconds; in frames, where the video does not tell its rate.
        end (float): End, where the next scene begins.
        scores (np.ndarray): Scores ``(K,)`` of the classes.
    """

    start: float
    end: float
    scores: np.ndarray


def timeline(
    model: BaseRecognizer, reader: VideoReader, frame_interval: int | None = None, batch_size: int = 1
) -> Iterator[Scene]:
    """Classify clips that cover a video, one after the other (the paper's HowTo100M protocol, section 4.6; there their
    scores are averaged).

    Frames are decoded once, in their order, and no more are held than ``batch_size`` clips have.

    Args:
        model (BaseRecognizer): From :func:`init_recognizer`.
        reader (VideoReader): An opened video, from :func:`mmtsf.datasets.decoders.open_video`.
        frame_interval (int, optional): Distance of neighbouring frames. Defaults to None: that of the config.
        batch_size (int): Clips that are classified at once. Defaults to 1.

    Raises:
        BrokenVideoError: If a frame cannot be decoded.

    Yields:
        Scene: Time and scores of every clip.
    """
    packer = ClipPacker(build_pipeline(model))
    rate = reader.fps or 1
    clips = covering(model, frame_interval).transform(dict(total_frames=reader.num_frames, avg_fps=reader.fps))
    clips = clips['frame_inds'].reshape(-1, clips['clip_len'])
    frames = map(packer.shrink, reader.stream(np.unique(clips)))
    ends = [*clips[1:, 0], reader.num_frames]
    for first in range(0, len(clips), batch_size):
        batch = clips[first : first + batch_size]
        samples = [packer.pack(_clip(numbers, frames)) for numbers in batch]
        with torch.no_grad():
            results = model.test_step(pseudo_collate(samples))
        for numbers, end, result in zip(batch, ends[first:], results):
            yield Scene(numbers[0] / rate, end / rate, result.pred_scores.item.cpu().numpy())


def _clip(numbers: np.ndarray, frames: Iterator[np.ndarray]) -> list[np.ndarray]:
    """Frames with these ascending numbers; the last one fills a clip that the video's end cuts off."""
    different, places = np.unique(numbers, return_inverse=True)
    taken = list(islice(frames, len(different)))
    return [taken[place] for place in places]
