"""Classify videos:

mmtsf predict VIDEO CONFIG CHECKPOINT
mmtsf predict VIDEO work_dirs/RUN/epoch_5.pth
mmtsf predict VIDEOS CONFIG CHECKPOINT --json predictions.json --csv predictions.csv
mmtsf predict LIST CONFIG CHECKPOINT --engine ray --parquet predictions.parquet --csv predictions.csv
mmtsf predict VIDEO CONFIG CHECKPOINT --timeline timeline --save-video named.mp4
mmtsf predict 0 CONFIG CHECKPOINT

The input is a file, a folder, a pattern like 'videos/*.mp4', an annotation list (.txt, .csv or .tsv), the number of a
camera, or the address of a stream; with --live a file is played like a camera. A video that cannot be read is named and
does not stop the rest. Files hold what is done at any moment, also after Ctrl-C. With --engine ray all GPUs and
machines of a cluster take part; the same command goes on where it was interrupted.
"""

import argparse
import glob
import os
from pathlib import Path

from mmtsf.utils.arguments import (
    add_device,
    add_engine,
    add_model,
    add_options,
    asked_briefly,
    check_alone,
    check_engine,
    check_model,
    check_not_empty,
    check_root_of_list,
    place,
    positive,
)
from mmtsf.utils.files import check_target
from mmtsf.utils.imports import for_prediction
from mmtsf.utils.locations import is_address, location
from mmtsf.utils.media import is_list
from mmtsf.utils.sources import check_video, is_live

#: Of a video that is written
FORMATS = ('.mp4', '.m4v', '.mkv', '.mov', '.avi')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        'input', help='file, folder, pattern, annotation list, number of a camera, or address of a stream'
    )
    add_model(parser)
    parser.add_argument('--topk', type=positive(int), default=5, help='classes named (default: 5)')
    parser.add_argument(
        '--json', type=place, metavar='FILE', help='write the predictions to this file; one a line for .jsonl'
    )
    parser.add_argument('--csv', type=place, metavar='FILE', help='the same, a line for each class')
    parser.add_argument('--timeline', type=Path, metavar='DIR', help='scores over time: VIDEO.csv and VIDEO.png')
    parser.add_argument('--save-video', type=Path, metavar='OUT.mp4', help='the video, with names on its frames')
    parser.add_argument('--live', action='store_true', help='play a file at its own rate, like a camera')
    end = 'end of a live source (default: its own)'
    parser.add_argument('--seconds', type=positive(float), default=float('inf'), help=end)
    distance = "distance of frames over time (default: the config's)"
    parser.add_argument('--frame-interval', type=positive(int), help=distance)
    at_once = 'videos, or clips of a timeline, at once (default: 1)'
    parser.add_argument('--batch-size', type=positive(int), default=1, help=at_once)
    parser.add_argument('--root', type=place, help="folder of a list's videos (default: that of the list)")
    parser.add_argument('--allow-outside', action='store_true', help='let paths of a list lead out of that folder')
    add_engine(parser, '300')
    words = 'write the predictions to this folder of Parquet files, with --engine ray'
    parser.add_argument('--parquet', type=place, metavar='DIR.parquet', help=words)
    add_device(parser)
    add_options(parser)


def check(args: argparse.Namespace) -> None:
    """Check that the options fit together, inputs exist and outputs can be written.

    Raises:
        OSError: If something does not exist, or cannot be written.
        ValueError: If an option has no meaning here.
    """
    args.live = args.live or is_camera_or_stream(args.input)
    if not args.live and not is_there(args.input):
        raise FileNotFoundError(f'{args.input} is no file or folder, and as a pattern it matches none')
    args.is_list = not args.live and is_list(args.input)
    if not args.is_list:
        check_video(args.input)
        if args.root or args.allow_outside:
            option = '--root' if args.root else '--allow-outside'
            raise ValueError(f'{option} is for lists, and {args.input} is none; leave it out')
    check_root_of_list(args.root)
    check_not_empty(args.input)
    check_engine(args)
    check_ray(args)
    if args.live and (args.json or args.csv or args.timeline):
        raise ValueError(f'--json, --csv and --timeline are for files, but the input {args.input} is live')
    if args.save_video and args.save_video.suffix.lower() not in FORMATS:
        raise ValueError(f'--save-video is {args.save_video}, expected a name that ends in {" or ".join(FORMATS)}')
    check_targets(args, [args.input])
    check_model(args)


def is_there(source: str) -> bool:
    """Return whether there is a file or folder, or as a pattern it matches one; of a pattern at an address it is told
    later."""
    if not is_address(source):
        return os.path.lexists(source) or any(glob.iglob(source, recursive=True))
    with asked_briefly(source):
        return '*' in source or location(source).exists()


def check_ray(args: argparse.Namespace) -> None:
    """Check the options that only one engine has.

    Raises:
        ValueError: If one is given to the other.
    """
    if args.engine == 'local' and args.parquet:
        raise ValueError(f'--parquet is {args.parquet}, which --engine ray writes; give --engine ray, or --json')
    if args.engine == 'ray' and not (args.parquet and args.parquet.suffix == '.parquet'):
        raise ValueError('--engine ray writes a folder of Parquet files; give its name, --parquet NAME.parquet')
    of_videos = [name for name in ('workers', 'time_limit') if getattr(args, name)]
    if (args.live or args.timeline) and of_videos:
        option = of_videos[0].replace('_', '-')
        raise ValueError(f'--{option} is for whole videos, and has no meaning with --live or --timeline; leave it out')
    given = [name for name in ('live', 'timeline', 'save_video') if getattr(args, name)]
    if args.engine == 'ray' and given:
        raise ValueError(f'--{given[0].replace("_", "-")} is for --engine local; leave --engine ray out')
    check_alone()


def is_camera_or_stream(source: str) -> bool:
    """Return whether the source is a camera or a stream, without ``--live``."""
    return (source.isdigit() or '://' in source) and is_live(source)


def check_targets(args: argparse.Namespace, videos: list[str]) -> None:
    """Check that all outputs can be written, and that none is an input.

    Raises:
        OSError: If a file cannot be written.
        ValueError: If one is read.
    """
    read = [location(named) for named in (*videos, args.config, args.checkpoint) if named]
    for option in ('json', 'csv', 'timeline', 'save_video', 'parquet'):
        if target := getattr(args, option):
            check_target(target, f'--{option.replace("_", "-")}', read, is_folder=option in ('timeline', 'parquet'))


def run(args: argparse.Namespace) -> int:
    """Classify the videos; return 1 if one cannot be read."""
    with for_prediction():
        from mmtsf.apis.predictions import find_videos, predict
        from mmtsf.preparation.video_paths import known_videos
    if args.is_list:
        videos = known_videos(location(args.input), args.root, args.allow_outside)
    else:
        videos = [] if args.live else find_videos(args.input)
    if args.save_video and len(videos) != 1:
        given = 'live' if args.live else f'{len(videos)} files'
        raise ValueError(f'--save-video is for one file, but the input is {given}')
    check_targets(args, videos)
    return predict(videos, args)
