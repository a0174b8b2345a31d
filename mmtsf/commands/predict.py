"""Classify videos:

mmtsf predict VIDEO CONFIG CHECKPOINT
mmtsf predict VIDEO work_dirs/RUN/epoch_5.pth
mmtsf predict VIDEOS CONFIG CHECKPOINT --json predictions.json --csv predictions.csv
mmtsf predict VIDEO CONFIG CHECKPOINT --timeline timeline --save-video named.mp4
mmtsf predict 0 CONFIG CHECKPOINT

The input is a file, a folder, a pattern like 'videos/*.mp4', the number of a camera, or the address of a stream; with
--live a file is played like a camera. A video that cannot be read is named and does not stop the rest. Files hold what
is done at any moment, also after Ctrl-C.
"""

import argparse
import glob
import os
from pathlib import Path

from mmtsf.utils.arguments import add_device, add_model, add_options, check_model, check_not_empty, positive
from mmtsf.utils.files import check_target
from mmtsf.utils.imports import for_prediction
from mmtsf.utils.sources import check_video, is_live

#: Of a video that is written
FORMATS = ('.mp4', '.m4v', '.mkv', '.mov', '.avi')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('input', help='file, folder, pattern, number of a camera, or address of a stream')
    add_model(parser)
    parser.add_argument('--topk', type=positive(int), default=5, help='classes named (default: 5)')
    parser.add_argument(
        '--json', type=Path, metavar='FILE', help='write the predictions to this file; one a line for .jsonl'
    )
    parser.add_argument('--csv', type=Path, metavar='FILE', help='the same, a line for each class')
    parser.add_argument('--timeline', type=Path, metavar='DIR', help='scores over time: VIDEO.csv and VIDEO.png')
    parser.add_argument('--save-video', type=Path, metavar='OUT.mp4', help='the video, with names on its frames')
    parser.add_argument('--live', action='store_true', help='play a file at its own rate, like a camera')
    end = 'end of a live source (default: its own)'
    parser.add_argument('--seconds', type=positive(float), default=float('inf'), help=end)
    distance = "distance of frames over time (default: the config's)"
    parser.add_argument('--frame-interval', type=positive(int), help=distance)
    at_once = 'videos, or clips of a timeline, at once (default: 1)'
    parser.add_argument('--batch-size', type=positive(int), default=1, help=at_once)
    add_device(parser)
    add_options(parser)


def check(args: argparse.Namespace) -> None:
    """Check that the options fit together, inputs exist and outputs can be written.

    Raises:
        OSError: If something does not exist, or cannot be written.
        ValueError: If an option has no meaning here.
    """
    args.live = args.live or is_camera_or_stream(args.input)
    if not args.live and not any(glob.iglob(args.input, recursive=True)) and not os.path.lexists(args.input):
        raise FileNotFoundError(f'{args.input} is no file or folder, and as a pattern it matches none')
    check_video(args.input)
    check_not_empty(args.input)
    if args.live and (args.json or args.csv or args.timeline):
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
    read = [*videos, *(Path(named) for named in (args.config, args.checkpoint) if named)]
    for option in ('json', 'csv', 'timeline', 'save_video'):
        if target := getattr(args, option):
            check_target(target, f'--{option.replace("_", "-")}', read, is_folder=option == 'timeline')


def run(args: argparse.Namespace) -> int:
    """Classify the videos; return 1 if one cannot be read."""
    with for_prediction():
        from mmtsf.apis.predictions import find_videos, predict
    videos = [] if args.live else find_videos(args.input)
    if args.save_video and len(videos) != 1:
        given = 'live' if args.live else f'{len(videos)} files'
        raise ValueError(f'--save-video is for one file, but the input is {given}')
    check_targets(args, list(map(Path, videos)))
    return predict(videos, args)
