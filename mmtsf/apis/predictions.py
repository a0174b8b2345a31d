"""Classify videos as ``mmtsf predict`` asks: on the screen, in files, over time, on a video's frames, live."""

import argparse
import os
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from mmaction.models import BaseRecognizer
from rich.progress import track

from mmtsf.batch.job import Result
from mmtsf.batch.local import run_locally
from mmtsf.datasets.decoders import BrokenVideoError, times_of
from mmtsf.datasets.transforms import open_as
from mmtsf.engine.launch import keep_freed_memory
from mmtsf.preparation.video_paths import videos_of
from mmtsf.utils.cores import num_cores
from mmtsf.utils.locations import is_address
from mmtsf.utils.results import growing_json, growing_table, stoppable
from mmtsf.utils.signals import uninterrupted
from mmtsf.utils.sources import is_live
from mmtsf.utils.tables import rounded
from mmtsf.utils.text import counted
from mmtsf.visualization import draw_timeline, with_words, write_video

from .clip_packer import ClipPacker, covering
from .inferencer import TimeSformerInferencer, best_classes
from .live import LiveWindows, watch
from .model_job import ModelJob
from .recognizer import build_pipeline
from .timeline import Scene, timeline

#: Columns of a table of predictions
HEADER = ('video', 'rank', 'label', 'name', 'score', 'error')


class Predictions(ModelJob):
    """Classify videos by the config's test views.

    Args:
        args (argparse.Namespace): Arguments of :mod:`mmtsf.commands.predict`.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        self.batch_size, self.topk = args.batch_size, args.topk

    def load(self) -> None:
        """Load the model."""
        self._inferencer = TimeSformerInferencer(
            self.config, self.checkpoint, self.device, options=self.options, fused=True
        )
        self._model = self._inferencer.model
        keep_freed_memory(self._model.data_preprocessor.device)

    def prepare(self, video: str) -> dict:
        """Decode the views of a video."""
        return self._inferencer.read(video)

    def finish(self, results: list[Result]) -> list[Result]:
        """Replace samples by predictions; a video that cannot be read has one with its error."""
        refusal, has_failed = self._inferencer.refusal, [bool(result.reason) for result in results]
        samples = [refusal('', r.reason) if failed else r.value for r, failed in zip(results, has_failed)]
        found = self._inferencer.postprocess(self._inferencer.forward(samples), [], topk=self.topk)['predictions']
        return [result._replace(value=prediction) for result, prediction in zip(results, found)]

    def columns(self) -> dict[str, Any]:
        """Return the types of what a prediction holds."""
        import pyarrow

        numbers, times = pyarrow.list_(pyarrow.float64()), pyarrow.list_(pyarrow.list_(pyarrow.float64()))
        labels, names = pyarrow.list_(pyarrow.int64()), pyarrow.list_(pyarrow.string())
        return dict(labels=labels, names=names, scores=numbers, times=times)

    def row(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return what a prediction holds."""
        return {name: value[name] for name in ('labels', 'names', 'scores', 'times')}


def find_videos(source: str) -> list[str]:
    """List the videos of a file, a folder or a pattern.

    Raises:
        FileNotFoundError: If there is none.
    """
    videos = videos_of(source)
    if videos == [source] and not is_address(source) and not os.path.lexists(source):
        raise FileNotFoundError(f'{source} is no file or folder, and as a pattern it matches none')
    return videos


def predict(videos: list[str], args: argparse.Namespace) -> int:
    """Classify videos, or what comes live.

    Args:
        videos (list[str]): Their paths; none where ``args.live``.
        args (argparse.Namespace): Arguments of :mod:`mmtsf.commands.predict`.

    Returns:
        int: 1 if one cannot be read.
    """
    if args.engine == 'ray':
        return predict_on_ray(videos, args)
    job = Predictions(args)
    if args.live:
        job.load()
        try:
            follow(job.model, args)
        except BrokenVideoError as error:
            report(dict(video=args.input, error=error.reason))
            return 1
        return 0
    kept = ' and '.join(str(file) for file in (args.json, args.csv, args.timeline) if file)
    found = (over_time if args.timeline else whole)(videos, job, args)
    broken = 0
    with ExitStack() as stack:
        is_done = stack.enter_context(stoppable(len(videos), 'videos', f'they are in {kept}' if kept else 'see above'))
        add_json = stack.enter_context(growing_json(args.json)) if args.json else None
        add_rows = stack.enter_context(growing_table(args.csv, HEADER)) if args.csv else None
        for prediction in found:
            with uninterrupted():  # all of them have it, or none
                report(prediction)
                if add_json:
                    add_json(prediction)
                if add_rows:
                    add_rows(rows_of(prediction))
                is_done()
            broken += 'error' in prediction
    if len(videos) > 1:
        print(f'{counted(len(videos) - broken, "video")} classified; {broken} could not be read', file=sys.stderr)
    return 1 if broken else 0


def predict_on_ray(videos: list[str], args: argparse.Namespace) -> int:
    """Classify videos on a cluster into a Parquet data set, and make the other files of it."""
    from mmtsf.batch.data_set import write_data_set

    job, broken = Predictions(args), 0
    settings = f'{args.topk} {args.batch_size}\n{job.settings()}\n{videos}'
    parts = write_data_set(job, videos, args.parquet, settings, args)
    with ExitStack() as stack:
        add_json = stack.enter_context(growing_json(args.json)) if args.json else None
        add_rows = stack.enter_context(growing_table(args.csv, HEADER)) if args.csv else None
        for video, row in zip(videos, parts.rows()):
            error = row.pop('error')
            prediction = dict(video=video, error=error) if error else row | dict(video=video)
            if add_json:
                add_json(prediction)
            if add_rows:
                add_rows(rows_of(prediction))
            broken += error is not None
    print(f'{counted(len(videos) - broken, "video")} classified in {args.parquet}; {broken} could not be read')
    return 1 if broken else 0


def whole(videos: list[str], job: Predictions, args: argparse.Namespace) -> Iterator[dict]:
    """Classify each video by the config's test views."""
    with closing(run_locally(job, videos, args.workers or min(num_cores(), len(videos)))) as results:
        for result in track(results, 'classifying', len(videos), disable=not sys.stdout.isatty()):
            prediction = result.value | dict(video=videos[result.place])
            yield prediction
            if args.save_video and 'names' in prediction:
                words = [(float('inf'), captions(prediction))]
                save_video(videos[result.place], job.model, words, args.save_video)


def over_time(videos: list[str], job: Predictions, args: argparse.Namespace) -> Iterator[dict]:
    """Classify clips that cover each video; a video's prediction is their mean, as the paper tests HowTo100M."""
    job.load()
    model = job.model
    classes = model.dataset_meta['classes']
    common = os.path.commonpath([Path(video).parent for video in videos])
    for video in videos:
        try:
            scenes = write_timeline(video, model, args.timeline / Path(video).relative_to(common), args)
        except BrokenVideoError as error:
            yield dict(video=video, error=error.reason)
            continue
        mean = best_classes(np.mean([scene.scores for scene in scenes], axis=0), classes, args.topk)
        yield dict(video=video, **mean, times=[scene[:2] for scene in scenes])
        if args.save_video:
            words = [(scene.end, captions(best_classes(scene.scores, classes, args.topk))) for scene in scenes]
            save_video(video, model, words, args.save_video)


def write_timeline(video: str, model: BaseRecognizer, target: Path, args: argparse.Namespace) -> list[Scene]:
    """Write the scores of each clip to ``target.csv``, and draw them to ``target.png``.

    Until all clips are there, the table is called ``target.part.csv``; there a run that was stopped leaves them.
    """
    classes, scenes = model.dataset_meta['classes'], []
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f'{target.name}.part.csv')
    reader = open_as(build_pipeline(model), video)
    try:
        with growing_table(part, ['start', 'end', *classes]) as add:
            for scene in progress(timeline(model, reader, args.frame_interval, args.batch_size), target.name):
                add([[rounded(scene.start, 2), rounded(scene.end, 2), *map(rounded, scene.scores)]])
                scenes.append(scene)
    except BrokenVideoError:
        part.unlink()
        raise
    except KeyboardInterrupt:
        print(f'\n{part} has what was scored: {video} up to {scenes[-1].end if scenes else 0:.1f} s', file=sys.stderr)
        raise
    draw_timeline(scenes, classes, target.with_name(f'{target.name}.png'), args.topk)
    part.replace(target.with_name(f'{target.name}.csv'))
    return scenes


def captions(best: dict) -> list[str]:
    """Format names with their scores."""
    return [f'{name} {score:.0%}' for name, score in zip(best['names'], best['scores'])]


def save_video(video: str, model: BaseRecognizer, words: list[tuple[float, list[str]]], out: Path) -> None:
    """Write the video with text on its frames, each text until its time in seconds."""
    reader = open_as(build_pipeline(model), video)

    def frames() -> Iterator[np.ndarray]:
        left = iter(words)
        end, lines = next(left)
        for begin, frame in zip(times_of(reader), reader.stream(np.arange(reader.num_frames))):
            while begin >= end:
                end, lines = next(left, (float('inf'), lines))
            yield with_words(frame, lines)

    times = None if reader.times is None else reader.times.tolist()
    write_video(out, frames(), reader.fps or 30, times)
    print(f'wrote {out}')


def follow(model: BaseRecognizer, args: argparse.Namespace) -> None:
    """Classify the newest window of a live source until it ends or Ctrl-C, and print the delay."""
    pipeline = build_pipeline(model)
    packer, delays = ClipPacker(pipeline), []
    source = args.input if is_live(args.input) else open_as(pipeline, args.input)
    with closing(LiveWindows(source, packer, covering(model, args.frame_interval))) as windows:
        try:
            for moment in watch(model, windows, packer):
                words = captions(best_classes(moment.scores, model.dataset_meta['classes'], args.topk))
                print(f'{moment.time:8.1f} s  {", ".join(words)}  ({moment.delay:.2f} s behind)', flush=True)
                delays.append(moment.delay)
                if moment.time > args.seconds:
                    break
        except KeyboardInterrupt:
            pass
    print(
        f'{windows.num_frames} frames, {windows.num_windows} windows: {windows.num_taken} classified, '
        f'{windows.num_windows - windows.num_taken} dropped; '
        + (f'delay {statistics.median(delays):.2f} s, at most {max(delays):.2f} s' if delays else 'none to classify')
    )


def report(prediction: dict) -> None:
    """Print the names of a video, or why it cannot be read."""
    if 'error' in prediction:
        print(f'{prediction["video"]}: not read: {prediction["error"]}', file=sys.stderr)
    else:
        print(f'{prediction["video"]}: {", ".join(captions(prediction))}', flush=True)


def rows_of(prediction: dict) -> list[tuple]:
    """Return the rows of a video in the table: its best classes, or why it cannot be read."""
    if 'error' in prediction:
        return [(prediction['video'], None, None, None, None, prediction['error'])]
    best = zip(prediction['labels'], prediction['names'], prediction['scores'])
    return [(prediction['video'], rank, *row, None) for rank, row in enumerate(best, 1)]


def progress(items, description: str):
    """Draw a progress bar if the output is a terminal."""
    return track(items, description, disable=not sys.stdout.isatty())
