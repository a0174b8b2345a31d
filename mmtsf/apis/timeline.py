"""Classify the clips of a long video one after the other."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from mmaction.models import BaseRecognizer
from mmengine.dataset import pseudo_collate

from mmtsf.datasets.decoders import VideoReader, times_of
from mmtsf.datasets.transforms import SampleClips

from .clip_packer import ClipPacker, covering
from .recognizer import build_pipeline
from .video_inputs import reader_of


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


class Window(NamedTuple):
    """A clip of those that cover a video.

    Attributes:
        start (float): Beginning, as of a :class:`Scene`.
        end (float): End.
        numbers (np.ndarray): Numbers of its frames ``(T,)``.
        frames (list[np.ndarray]): They, RGB ``(H, W, 3)``.
    """

    start: float
    end: float
    numbers: np.ndarray
    frames: list[np.ndarray]


def timeline(
    model: BaseRecognizer, video: Any, frame_interval: int | None = None, batch_size: int = 1
) -> Iterator[Scene]:
    """Classify clips that cover a video, one after the other (the paper's HowTo100M protocol, section 4.6; there their
    scores are averaged).

    Frames are decoded once, in their order, and no more are held than ``batch_size`` clips have.

    Args:
        model (BaseRecognizer): From :func:`init_recognizer`.
        video: A video in any form that :func:`to_sample` takes, or a reader, from
            :func:`mmtsf.datasets.decoders.open_video`.
        frame_interval (int, optional): Distance of neighbouring frames. Defaults to None: that of the config.
        batch_size (int): Clips that are classified at once. Defaults to 1.

    Raises:
        BrokenVideoError: If a frame cannot be decoded.

    Yields:
        Scene: Time and scores of every clip.
    """
    pipeline = build_pipeline(model)
    packer, reader = ClipPacker(pipeline), reader_of(pipeline, video)
    found = windows(reader, covering(model, frame_interval), packer.shrink)
    packed = ((window.start, window.end, packer.pack(window.frames)) for window in found)
    while batch := list(islice(packed, batch_size)):
        starts, ends, samples = zip(*batch)
        with torch.no_grad():
            results = model.test_step(pseudo_collate(samples))
        for start, end, result in zip(starts, ends, results):
            yield Scene(start, end, result.pred_scores.item.cpu().numpy())


def windows(reader: VideoReader, sampler: SampleClips, shrink: Callable = np.asarray) -> Iterator[Window]:
    """Read the clips that cover a video, one after the other, of frames that are decoded once.

    Args:
        reader (VideoReader): An opened video.
        sampler (SampleClips): From :func:`mmtsf.apis.covering`.
        shrink (Callable): What is done to a frame before it is kept. Defaults to nothing.

    Yields:
        Window: Time, numbers and frames of every clip.
    """
    video = dict(total_frames=reader.num_frames, avg_fps=reader.fps, times=reader.times)
    clips = sampler.transform(video)['frame_inds'].reshape(-1, video['clip_len'])
    frames = map(shrink, reader.stream(np.unique(clips)))
    begins = np.maximum(clips[1:, 0], clips[:-1, -1] + 1)  # the last clip overlaps the one before it
    bounds = times_of(reader)[[0, *begins, reader.num_frames]].tolist()
    for place, held in enumerate(_in_clips(clips, frames)):
        yield Window(bounds[place], bounds[place + 1], clips[place], held)


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
