"""Classify the clips of a long video one after the other."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from mmaction.models import BaseRecognizer
from mmengine.dataset import pseudo_collate

from mmtsf.datasets.decoders import VideoReader, times_of

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
    video = dict(total_frames=reader.num_frames, avg_fps=reader.fps, times=reader.times)
    clips = covering(model, frame_interval).transform(video)['frame_inds'].reshape(-1, video['clip_len'])
    frames = map(packer.shrink, reader.stream(np.unique(clips)))
    packed = map(packer.pack, _in_clips(clips, frames))
    begins = np.maximum(clips[1:, 0], clips[:-1, -1] + 1)  # the last clip overlaps the one before it
    bounds = times_of(reader)[[0, *begins, reader.num_frames]].tolist()
    for first in range(0, len(clips), batch_size):
        samples = list(islice(packed, batch_size))
        with torch.no_grad():
            results = model.test_step(pseudo_collate(samples))
        for place, result in enumerate(results, first):
            yield Scene(bounds[place], bounds[place + 1], result.pred_scores.item.cpu().numpy())


def _in_clips(clips: np.ndarray, frames: Iterator[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Frames of each of the ``clips``, of all their frames one after the other; what a later one shows too is kept."""
    numbers, held = iter(np.unique(clips).tolist()), dict[int, np.ndarray]()
    later = np.minimum.accumulate(clips[::-1, 0])[::-1][1:]
    for clip, least in zip(clips.tolist(), [*later.tolist(), np.inf]):
        for number in clip:
            while number not in held:
                held[next(numbers)] = next(frames)
        yield [held[number] for number in clip]
        held = {number: frame for number, frame in held.items() if number >= least}
