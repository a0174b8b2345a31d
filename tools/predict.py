#!/usr/bin/env python
"""Classify videos:

python tools/predict.py VIDEO CONFIG CHECKPOINT
python tools/predict.py VIDEOS CONFIG CHECKPOINT --json predictions.json --csv predictions.csv
python tools/predict.py VIDEO CONFIG CHECKPOINT --timeline timeline --save-video named.mp4
python tools/predict.py 0 CONFIG CHECKPOINT

The input is a file, a folder, a pattern like 'videos/*.mp4', the number of a camera, or the address of a stream; with
--live a file is played like a camera. A video that cannot be read is named and does not stop the rest.
"""

import argparse
import glob
import json
import os
import statistics
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from mmtsf.utils.arguments import add_model, add_options, check_model, mistakes_of, new_parser, parsed
from mmtsf.utils.files import check_target
from mmtsf.utils.imports import skip_optimizers
from mmtsf.utils.sources import is_live
from mmtsf.utils.tables import new_table, rounded

#: Of a video that is written
FORMATS = ('.mp4', '.m4v', '.mkv', '.mov', '.avi')


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    parser.add_argument('input', help='file, folder, pattern, number of a camera, or address of a stream')
    add_model(parser)
    parser.add_argument('--topk', type=int, default=5, help='classes named (default: 5)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the predictions to this file')
    parser.add_argument('--csv', type=Path, metavar='FILE', help='the same, a line for each class')
    parser.add_argument('--timeline', type=Path, metavar='DIR', help='scores over time: VIDEO.csv and VIDEO.png')
    parser.add_argument('--save-video', type=Path, metavar='OUT.mp4', help='the video, with names on its frames')
    parser.add_argument('--live', action='store_true', help='play a file at its own rate, like a camera')
    parser.add_argument('--seconds', type=float, default=float('inf'), help='end of a live source (default: its own)')
    parser.add_argument('--frame-interval', type=int, help="distance of frames over time (default: the config's)")
    parser.add_argument(
        '--batch-size', type=int, default=1, help='videos, or clips of a timeline, at once (default: 1)'
    )
    parser.add_argument('--device', help='e.g. cpu or cuda:1 (default: the GPU if there is one)')
    add_options(parser)
    args = parser.parse_args()
    with mistakes_of(parser):
        check(args)
    return args


def check(args: argparse.Namespace) -> None:
    """Check that the options fit together, inputs exist and outputs can be written.

    Raises:
        OSError: If something does not exist, or cannot be written.
        ValueError: If an option has no meaning here.
    """
    if args.batch_size < 1 or args.topk < 1:
        raise ValueError(f'--batch-size is {args.batch_size} and --topk {args.topk}, expected at least 1')
    plays = args.live or is_camera_or_stream(args.input)
    if not plays and not any(glob.iglob(args.input, recursive=True)) and not os.path.lexists(args.input):
        raise FileNotFoundError(f'{args.input} is no file or folder, and as a pattern it matches none')
    if plays and (args.json or args.csv or args.timeline):
        raise ValueError(f'--json, --csv and --timeline are for files, but the input {args.input} is live')
    if args.save_video and args.save_video.suffix.lower() not in FORMATS:
        raise ValueError(f'--save-video is {args.save_video}, expected a name that ends in {" or ".join(FORMATS)}')
    check_targets(args, [Path(args.input)])
    check_model(args)


def is_camera_or_stream(source: str) -> bool:
    """Return whether the source is a camera or a stream, without ``--live``."""
    return (source.isdigit() or '://' in source) and is_live(source)


def check_targets(args: argparse.Namespace, videos: list[Path]) -> None:
    """Check that all outputs can be written, and that none is an input.

    Raises:
        OSError: If a file cannot be written.
        ValueError: If one is read.
    """
    read = [*videos, Path(args.config), Path(args.checkpoint)]
    for option in ('json', 'csv', 'timeline', 'save_video'):
        if target := getattr(args, option):
            check_target(target, f'--{option.replace("_", "-")}', read, is_folder=option == 'timeline')


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds
    skip_optimizers()

import numpy as np
from rich.progress import track
from torch import nn

from mmtsf.apis import (
    ClipPacker,
    LiveWindows,
    TimeSformerInferencer,
    best_classes,
    build_pipeline,
    covering,
    timeline,
    watch,
)
from mmtsf.apis.timeline import Scene
from mmtsf.datasets.decoders import BrokenVideoError, times_of
from mmtsf.datasets.transforms import open_as
from mmtsf.engine.launch import keep_freed_memory
from mmtsf.preparation.video_paths import videos_of
from mmtsf.visualization import draw_timeline, with_words, write_video


def main() -> int:
    args = parse_args()
    plays = args.live or is_camera_or_stream(args.input)
    videos = [] if plays else find_videos(args.input)
    if args.save_video and len(videos) != 1:
        raise ValueError(
            f'--save-video is for one file, but the input is {"live" if plays else f"{len(videos)} files"}'
        )
    check_targets(args, list(map(Path, videos)))
    how = dict(options=parsed(args.cfg_options), fused=True)
    inferencer = TimeSformerInferencer(args.config, args.checkpoint, args.device, **how)
    keep_freed_memory(inferencer.model.data_preprocessor.device)
    if plays:
        try:
            follow(inferencer.model, args)
        except BrokenVideoError as error:
            report(dict(video=args.input, error=error.reason))
            return 1
        return 0
    predictions = (
        predict_over_time(videos, inferencer.model, args) if args.timeline else predict(videos, inferencer, args)
    )
    write_predictions(predictions, args)
    return 1 if any('error' in prediction for prediction in predictions) else 0


def find_videos(source: str) -> list[str]:
    """List the videos of a file, a folder or a pattern.

    Raises:
        FileNotFoundError: If there is none.
    """
    videos = videos_of(source) if os.path.lexists(source) else sorted(glob.glob(source, recursive=True))
    if not videos:
        raise FileNotFoundError(f'{source} is no file or folder, and as a pattern it matches none')
    return videos


def predict(videos: list[str], inferencer: TimeSformerInferencer, args: argparse.Namespace) -> list[dict]:
    """Classify each video by the config's test views."""
    predictions = []
    batches = [videos[first : first + args.batch_size] for first in range(0, len(videos), args.batch_size)]
    for batch in progress(batches, 'classifying'):
        found = inferencer(batch, batch_size=args.batch_size, topk=args.topk, skip_broken=True)['predictions']
        predictions += found
        for prediction in found:
            report(prediction)
    if args.save_video and 'names' in predictions[0]:
        save_video(videos[0], inferencer.model, [(float('inf'), captions(predictions[0]))], args.save_video)
    return predictions


def predict_over_time(videos: list[str], model: nn.Module, args: argparse.Namespace) -> list[dict]:
    """Classify clips that cover each video; a video's prediction is their mean, as the paper tests HowTo100M."""
    classes, predictions = model.dataset_meta['classes'], []
    common = os.path.commonpath([Path(video).parent for video in videos])
    for video in videos:
        try:
            scenes = write_timeline(video, model, args.timeline / Path(video).relative_to(common), args)
        except BrokenVideoError as error:
            predictions.append(dict(video=video, error=error.reason))
        else:
            mean = best_classes(np.mean([scene.scores for scene in scenes], axis=0), classes, args.topk)
            predictions.append(dict(video=video, **mean, times=[scene[:2] for scene in scenes]))
            if args.save_video:
                words = [(scene.end, captions(best_classes(scene.scores, classes, args.topk))) for scene in scenes]
                save_video(video, model, words, args.save_video)
        report(predictions[-1])
    return predictions


def write_timeline(video: str, model: nn.Module, target: Path, args: argparse.Namespace) -> list[Scene]:
    """Write the scores of each clip to ``target.csv``, and draw them to ``target.png``."""
    classes, scenes = model.dataset_meta['classes'], []
    target.parent.mkdir(parents=True, exist_ok=True)
    reader = open_as(build_pipeline(model), video)
    with new_table(target.with_name(f'{target.name}.csv'), ['start', 'end', *classes]) as write:
        for scene in progress(timeline(model, reader, args.frame_interval, args.batch_size), target.name):
            write([rounded(scene.start, 2), rounded(scene.end, 2), *map(rounded, scene.scores)])
            scenes.append(scene)
    draw_timeline(scenes, classes, target.with_name(f'{target.name}.png'), args.topk)
    return scenes


def captions(best: dict) -> list[str]:
    """Format names with their scores."""
    return [f'{name} {score:.0%}' for name, score in zip(best['names'], best['scores'])]


def save_video(video: str, model: nn.Module, words: list[tuple[float, list[str]]], out: Path) -> None:
    """Write the video with text on its frames, each text until its time in seconds."""
    reader = open_as(build_pipeline(model), video)

    def frames() -> Iterator[np.ndarray]:
        left = iter(words)
        end, lines = next(left)
        for begin, frame in zip(times_of(reader), reader.stream(np.arange(reader.num_frames))):
            while begin >= end:
                end, lines = next(left, (float('inf'), lines))
            yield with_words(frame, lines)

    write_video(out, frames(), reader.fps or 30, reader.times)
    print(f'wrote {out}')


def follow(model: nn.Module, args: argparse.Namespace) -> None:
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
    if 'error' in prediction:
        print(f'{prediction["video"]}: not read: {prediction["error"]}', file=sys.stderr)
    else:
        print(f'{prediction["video"]}: {", ".join(captions(prediction))}')


def write_predictions(predictions: list[dict], args: argparse.Namespace) -> None:
    if args.json:
        args.json.write_text(
            json.dumps(predictions, indent=2, ensure_ascii=False), encoding='utf-8', errors='surrogateescape'
        )
    if args.csv:
        with new_table(args.csv, ['video', 'rank', 'label', 'name', 'score', 'error']) as write:
            for found in predictions:
                rows = zip(found['labels'], found['names'], found['scores']) if 'names' in found else ()
                for rank, row in enumerate(rows, 1):
                    write([found['video'], rank, *row, None])
                if 'error' in found:
                    write([found['video'], None, None, None, None, found['error']])


def progress(items, description: str):
    """Draw a progress bar if the output is a terminal."""
    return track(items, description, disable=not sys.stdout.isatty())


if __name__ == '__main__':
    sys.exit(main())
