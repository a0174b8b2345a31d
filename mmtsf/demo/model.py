"""Compute predictions, timeline and attention of a visitor's video, each shown as soon as it is ready."""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import torch
from mmengine.dataset import pseudo_collate

from mmtsf.apis import best_classes, build_pipeline, init_recognizer
from mmtsf.apis.timeline import Scene
from mmtsf.datasets.decoders import BrokenVideoError, Limits, times_of
from mmtsf.datasets.transforms.read_video import blamed_on
from mmtsf.engine.launch import keep_freed_memory
from mmtsf.models import TimeSformer
from mmtsf.utils.arguments import parsed
from mmtsf.visualization import write_video

from .attention import Attention, choices
from .folder import WORK
from .inputs import refusal
from .reader import TimedReader, TimeIsUp, deadline, parts
from .views import Settings, Views

TOPK = 5
MAX_FRAMES = 96  # of a clip
BOUNDS = dict(clips=(1, 10), crops=(1, 3), frames=(2, MAX_FRAMES))  # of settings
MAX_WINDOWS = 400  # of a timeline
FRAME = 4096 * 2304  # pixels; what is called 4K passes
FULL_HD = 1920 * 1088
RATE = 30  # frames a second that count as one


class Shown(NamedTuple):
    """Hold what a visitor sees, as JSON: names with scores, the timeline, attention, a line of status."""

    names: dict | None = None
    timeline: list[dict] | None = None
    attention: dict | None = None
    note: str = ''


class Demo:
    """Run a model for the page."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.model = init_recognizer(args.config, args.checkpoint, args.device, parsed(args.cfg_options), fused=True)
        self.model.test_cfg = dict(self.model.test_cfg or {}, max_testing_views=1)
        self.classes = self.model.dataset_meta['classes']
        keep_freed_memory(self.model.data_preprocessor.device)
        self.views, self.attention = Views(build_pipeline(self.model)), choices(self.model)
        # no frame above 4K, and of all frames no more than the longest video has in full HD
        self.pixels = max(int(args.max_minutes * 60 * RATE), 1) * FULL_HD
        ours = Limits(FRAME, MAX_FRAMES * FRAME, frames=4 * self.pixels // FULL_HD)
        opener = self.views.opener
        opener.limits = Limits(*map(min, astuple(ours), astuple(opener.limits)))
        # one thread for one request after the other: one pool of threads of torch, one pool of memory, no overlap
        self.worker = ThreadPoolExecutor(1)
        self.worker.submit(self.try_out).result()

    def find_ranges(self) -> dict[str, tuple[int, int, int]]:
        """Return least, most and usual value of each setting: the config's own, and that alone where no other does."""
        ranges = {}
        for name, usual in zip(BOUNDS, self.views.shape):
            least, most = min(BOUNDS[name][0], usual), max(BOUNDS[name][1], usual)
            takes_any = name != 'frames' or isinstance(self.model.backbone, TimeSformer)
            ranges[name] = (least, most, usual) if takes_any and self.views.has(name) else (usual, usual, usual)
        return ranges

    def try_out(self) -> None:
        """Classify a generated video, so that a config that the page cannot work with is an error when it starts.

        Raises:
            ValueError: If there is such an error.
        """
        noise = np.random.default_rng(0).integers(0, 256, (8, 64, 80, 3), np.uint8)
        try:
            self.ranges = self.find_ranges()
            clips, crops, frames = self.ranges['clips'][0], self.ranges['crops'][0], self.ranges['frames'][2]
            least = Settings(clips, crops, frames, (self.attention or [''])[0])
            with tempfile.TemporaryDirectory(dir=WORK) as folder:
                write_video(video := Path(folder, 'noise.mp4'), noise, RATE)
                for _ in self.steps(str(video), least, float('inf')):
                    pass
        except Exception as error:
            found = getattr(error, 'message', f'{type(error).__name__}: {error}')
            raise ValueError(
                f'the page cannot classify a video of noise as {self.args.config} says: {found}'
            ) from error

    async def classify(self, video: str | None, *settings: Any) -> AsyncIterator[Shown]:
        """Yield names and scores, then timeline and attention."""
        if video is None:
            raise refusal('Upload a video or choose a sample first.')
        end = time.monotonic() + self.args.max_seconds
        loop, steps = asyncio.get_running_loop(), self.steps(video, Settings(*settings), end)
        try:
            while (shown := await loop.run_in_executor(self.worker, next, steps, None)) is not None:
                yield shown
        finally:  # also when the visitor has gone
            await loop.run_in_executor(self.worker, steps.close)

    def steps(self, video: str, settings: Settings, end: float) -> Generator[Shown]:
        """Yield what to show after each clip; the request may be cancelled after each."""
        shown = Shown()
        try:
            reader = self.open(video, end)
            views = self.views.changed(clips=settings.clips, crops=settings.crops, frames=settings.frames)
            for part in (self.name, self.go_through):
                for news in part(views, reader, shown, settings.attention):
                    shown = news
                    yield shown
        except TimeIsUp:
            told = f'The {self.args.max_seconds:g} seconds that this page takes for a video are over'
            if shown.names is None:
                raise refusal(f'{told}: choose a shorter video, or fewer clips and frames.') from None
            yield shown._replace(note=f'{told}; this is what was found until then.')
        except gr.Error:
            raise
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
        reader = TimedReader(self.views.opener.open(video, check_time=deadline(end)), end)
        with blamed_on(video):
            height, width = reader.read(np.array([0])).shape[1:3]
        minutes = reader.num_frames / min(reader.fps or RATE, RATE) / 60
        if minutes > self.args.max_minutes:
            raise refusal(
                f'This video takes {minutes:.1f} minutes ({reader.num_frames} frames, at most {RATE} a second), this '
                f'page takes up to {self.args.max_minutes:g}. Cut it, or use mmtsf predict --timeline.'
            )
        if reader.num_frames * height * width > self.pixels:
            raise refusal(
                f'This video has {reader.num_frames} frames of {width} x {height}, this page takes as many pixels as '
                f'{self.args.max_minutes:g} minutes of 1920 x 1080 have. Cut it, or make it smaller.'
            )
        return reader

    def name(self, views: Views, reader: TimedReader, shown: Shown, _: str) -> Iterator[Shown]:
        """Predict from the mean of the clips so far; where clips cover the video, from the timeline's."""
        if views.covers:
            return
        scores: list[np.ndarray] = []
        for number, frames in views.clips(reader):
            scores.append(self.score(views, frames))
            of = 'a clip from the middle' if number == 1 else f'the mean of {number} clips'
            yield shown._replace(names=self.best(scores, of), note=f'Clip {len(scores)} of {number}')

    def go_through(self, views: Views, reader: TimedReader, shown: Shown, attention: str) -> Iterator[Shown]:
        """Follow scores and attention over the video, until it or the time is over."""
        one_crop = views.changed(crops=1)
        looks = Attention(self.model, one_crop.packer, attention) if attention else None
        times, late = times_of(reader), None
        scenes: list[Scene] = []
        try:
            for window in islice(views.windows(reader), MAX_WINDOWS):
                scenes.append(Scene(window.start, window.end, self.score(views, window.frames)))
                scores = [scene.scores for scene in scenes]
                names = self.best(scores, 'the mean of all clips') if views.covers else shown.names
                bands = self.bands(scenes, times)
                shown = shown._replace(names=names, timeline=bands, note=f'Timeline: {len(scenes)} clips')
                if looks:
                    looks.add(window)
                yield shown
        except TimeIsUp as error:
            late = error
        is_whole = len(scenes) < MAX_WINDOWS or window.end >= times[-1]
        cut = '' if is_whole else f'The timeline ends after {MAX_WINDOWS} clips: choose more frames a clip.'
        if scenes:
            yield shown._replace(attention=looks.packed(times) if looks else None, note=cut)
        if late:
            raise late

    def score(self, views: Views, frames: list[np.ndarray]) -> np.ndarray:
        """Return the scores ``(K,)`` of a clip, the mean over its crops."""
        with torch.no_grad():
            result = self.model.test_step(pseudo_collate([views.packer.pack(frames)]))[0]
        return result.pred_scores.item.cpu().numpy()

    def best(self, scores: list[np.ndarray], of: str) -> dict:
        """Return names and scores of the best classes of the mean of scores ``(K,)``, and of what they are."""
        best = best_classes(np.mean(scores, axis=0), self.classes, TOPK)
        return dict(of=of, best=[dict(name=name, score=score) for name, score in zip(best['names'], best['scores'])])

    def bands(self, scenes: list[Scene], times: np.ndarray) -> list[dict]:
        """Return from where to where a class is the best one, as parts of the video, and its mean score."""
        bands: list[dict] = []
        for label, group in groupby(scenes, lambda scene: int(scene.scores.argmax())):
            same = list(group)
            start, end = parts([same[0].start, same[-1].end], times)
            score = float(np.mean([scene.scores[label] for scene in same]))
            bands.append(dict(start=start, end=end, name=self.classes[label], score=score))
        return bands
