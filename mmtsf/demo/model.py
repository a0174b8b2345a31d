"""Compute predictions, timeline and attention of a visitor's video, each shown as soon as it is ready."""

import argparse
import asyncio
import copy
import gc
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmaction.models import BaseRecognizer
from mmengine.dataset import Compose, pseudo_collate

from mmtsf.apis import (
    ClipPacker,
    attention_maps,
    best_classes,
    build_pipeline,
    init_recognizer,
    middle_clip,
    timeline,
    to_sample,
    write_attention,
)
from mmtsf.datasets.decoders import BrokenVideoError, Limits, times_of
from mmtsf.datasets.transforms import OpenVideo, SampleClips, SampleSegments
from mmtsf.datasets.transforms.read_video import blamed_on
from mmtsf.engine.launch import keep_freed_memory
from mmtsf.utils.arguments import parsed
from mmtsf.visualization import draw_timeline

from .folder import WORK
from .inputs import refusal
from .reader import TimedReader, TimeIsUp, deadline

TOPK = 5
MAX_FRAMES = 96  # of a clip
MAX_WINDOWS = 400  # of a timeline
FRAME = 4096 * 2304  # pixels; what is called 4K passes
FULL_HD = 1920 * 1088
RATE = 30  # frames a second that count as one


class Settings(NamedTuple):
    """Hold a visitor's settings."""

    clips: int
    crops: int
    frames: int


class Shown(NamedTuple):
    """Hold what a visitor sees: names with scores, a plot, a video, a status line."""

    names: dict[str, float] | None = None
    plot: str | None = None
    overlaid: str | None = None
    note: str = ''


class Demo:
    """Run a model for the page."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.model = init_recognizer(args.config, args.checkpoint, args.device, parsed(args.cfg_options), fused=True)
        self.classes = self.model.dataset_meta['classes']
        keep_freed_memory(self.model.data_preprocessor.device)
        self.covers = getattr(sampling_of(self.model), 'start', None) == 'cover'
        # no frame above 4K, and of all frames no more than the longest video has in full HD
        self.pixels = max(int(args.max_minutes * 60 * RATE), 1) * FULL_HD
        ours = Limits(FRAME, MAX_FRAMES * FRAME, frames=4 * self.pixels // FULL_HD)
        self.opener = next(t for t in build_pipeline(self.model).transforms if isinstance(t, OpenVideo))
        self.opener.limits = Limits(*map(min, astuple(ours), astuple(self.opener.limits)))
        # one thread for one request after the other: one pool of threads of torch, one pool of memory, no overlap
        self.worker = ThreadPoolExecutor(1)

    async def classify(self, video: str | None, clips: int, crops: int, frames: int) -> AsyncIterator[Shown]:
        """Yield names and scores, then the timeline, then the video with attention."""
        if video is None:
            raise refusal('Upload a video or choose a sample first.')
        loop, steps = asyncio.get_running_loop(), self.steps(video, Settings(clips, crops, frames))
        try:
            while (shown := await loop.run_in_executor(self.worker, next, steps, None)) is not None:
                yield shown
        finally:  # also when the visitor has gone
            await loop.run_in_executor(self.worker, steps.close)
            await loop.run_in_executor(self.worker, gc.collect)  # figures refer to themselves, and hold their pixels

    def steps(self, video: str, settings: Settings) -> Iterator[Shown]:
        """Yield what to show after each clip and step; the request may be cancelled after each."""
        end = time.monotonic() + self.args.max_seconds
        shown = Shown()
        with tempfile.TemporaryDirectory(dir=WORK, ignore_cleanup_errors=True) as folder:
            try:
                reader = self.open(video, end)
                model = self.model_for(settings)
                for part in (self.name, self.draw_over_time, self.draw_attention):
                    for news in part(model, reader, shown, Path(folder)):
                        shown = news
                        yield shown
            except TimeIsUp:
                told = f'The {self.args.max_seconds:g} seconds that this page takes for a video are over'
                if shown.names is None:
                    raise refusal(f'{told}: choose a shorter video, or fewer clips and frames.') from None
                yield shown._replace(note=f'{told}; this is what was found until then.')
            except BrokenVideoError as error:
                raise refusal(f'This file is no video that can be read: {error.reason}.') from error
            except ValueError as error:  # e.g. a number of frames that the attention scheme cannot cut
                raise refusal(f'{error}.') from error

    def open(self, video: str, end: float) -> TimedReader:
        """Open a video with a deadline, and refuse one that is too long or too large.

        Raises:
            BrokenVideoError: If it cannot be read or is too large, or its time is up.
        """
        if not os.path.isfile(video):
            raise BrokenVideoError(video, 'it is no file')
        reader = TimedReader(self.opener.open(video, check_time=deadline(end)), end)
        with blamed_on(video):
            height, width = reader.read(np.array([0])).shape[1:3]
        minutes = reader.num_frames / min(reader.fps or RATE, RATE) / 60
        if minutes > self.args.max_minutes:
            raise refusal(
                f'This video takes {minutes:.1f} minutes ({reader.num_frames} frames, at most {RATE} a second), this '
                f'page takes up to {self.args.max_minutes:g}. Cut it, or use tools/predict.py --timeline.'
            )
        if reader.num_frames * height * width > self.pixels:
            raise refusal(
                f'This video has {reader.num_frames} frames of {width} x {height}, this page takes as many pixels as '
                f'{self.args.max_minutes:g} minutes of 1920 x 1080 have. Cut it, or make it smaller.'
            )
        return reader

    def model_for(self, settings: Settings) -> BaseRecognizer:
        """Copy the model with a visitor's choice of clips, crops and frames in its config."""
        model = copy.copy(self.model)
        model.cfg = copy.deepcopy(self.model.cfg)
        model.cfg.model.backbone.num_frames = settings.frames
        model.test_cfg = dict(self.model.test_cfg or {}, max_testing_views=1)
        for dataset, clips, crops in (('test', settings.clips, settings.crops), ('val', 1, 1)):
            for step in model.cfg[f'{dataset}_dataloader'].dataset.pipeline:
                name = step['type'].rpartition('.')[2].removeprefix('Released')
                if name == 'SampleClips':
                    step.num_frames = settings.frames
                    if step.start == 'cover' and dataset == 'val':
                        step.start = 'middle'
                    step.num_clips = 1 if step.start == 'cover' else clips  # as many as the video's length takes
                elif name == 'SampleSegments':
                    step.clip_len, step.num_clips = settings.frames, clips
                elif 'num_crops' in step:
                    step.num_crops = crops
        return model

    def name(self, model: BaseRecognizer, reader: TimedReader, shown: Shown, folder: Path) -> Iterator[Shown]:
        """Predict from the mean of the clips so far; where clips cover the video, from the timeline's."""
        if self.covers:
            return
        pipeline = build_pipeline(model)
        packer = ClipPacker(pipeline)
        small = TimedReader(reader.reader, reader.end, packer.shrink)
        taken = sampling_of(model).transform(self.opener.transform(dict(reader=reader.reader)))
        clips, scores = taken['frame_inds'].reshape(-1, taken['clip_len']), []
        for numbers in clips:
            sample = packer.pack(small.read(numbers))
            with torch.no_grad():
                scores.append(model.test_step(pseudo_collate([sample]))[0].pred_scores.item.cpu().numpy())
            yield shown._replace(names=self.best(scores), note=f'Clip {len(scores)} of {len(clips)}')

    def draw_over_time(self, model: BaseRecognizer, reader: TimedReader, shown: Shown, folder: Path) -> Iterator[Shown]:
        """Draw the timeline, or its beginning when the time is up."""
        # where a clip has no distance of frames, it is the whole video
        whole = isinstance(sampling_of(model), SampleSegments)
        interval = max(reader.num_frames // model.cfg.model.backbone.num_frames, 1) if whole else None
        scenes, late = [], None
        try:
            for scene in islice(timeline(model, reader, interval), MAX_WINDOWS):
                scenes.append(scene)
                names = self.best([scene.scores for scene in scenes]) if self.covers else shown.names
                shown = shown._replace(names=names, note=f'Timeline: {len(scenes)} clips')
                yield shown
        except TimeIsUp as error:
            late = error
        if scenes:
            plot = folder / 'timeline.png'
            draw_timeline(scenes, self.classes, plot, TOPK)
            is_whole = len(scenes) < MAX_WINDOWS or scenes[-1].end >= times_of(reader)[-1]
            cut = '' if is_whole else f'The timeline ends after {MAX_WINDOWS} clips: choose more frames a clip.'
            yield shown._replace(plot=str(plot), note=cut)
        if late:
            raise late

    def draw_attention(self, model: BaseRecognizer, reader: TimedReader, shown: Shown, folder: Path) -> Iterator[Shown]:
        """Write the video beside its attention."""
        pipeline = Compose(model.cfg.val_dataloader.dataset.pipeline)
        small = TimedReader(reader.reader, reader.end, ClipPacker(pipeline).shrink)
        clip = middle_clip(model, dict(to_sample('video'), reader=small))
        maps = attention_maps(model, clip.clip)
        overlaid = folder / 'attention.mp4'
        write_attention(reader, clip, {'attention': maps['attention']}, overlaid)
        yield shown._replace(overlaid=str(overlaid))

    def best(self, scores: list[np.ndarray]) -> dict[str, float]:
        """Return the best classes of scores ``(K,)`` by name."""
        best = best_classes(np.mean(scores, axis=0), self.classes, TOPK)
        return dict(zip(best['names'], best['scores']))


def sampling_of(model: BaseRecognizer) -> SampleClips | SampleSegments:
    """Return the sampling transform in the test pipeline of a model's config."""
    return next(t for t in build_pipeline(model).transforms if isinstance(t, (SampleClips, SampleSegments)))
