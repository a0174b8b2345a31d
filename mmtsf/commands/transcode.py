"""Rewrite videos for fast random access in training: small H.264 files with many key frames:

mmtsf transcode SOURCE OUT
mmtsf transcode LIST OUT --root SOURCE --short-side 256

Frames keep their number and order. The same command goes on where it was interrupted.
"""

import argparse
from pathlib import Path

from mmtsf.utils.arguments import add_limits, check_root_of_list, check_source, limits_of
from mmtsf.utils.cores import num_cores
from mmtsf.utils.files import check_folder

LIMITS = dict(short_side=(16, 4096), keyframe_distance=(1, 1000), crf=(0, 51), workers=(1, 1024))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('source', type=Path, help='folder of videos, or annotation list ("path label" lines or csv)')
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument('--root', type=Path, help="folder of a list's videos (default: that of the list)")
    parser.add_argument('--short-side', type=int, default=320, help='pixels; never enlarged (default: 320)')
    parser.add_argument('--keyframe-distance', type=int, default=32, help='frames, at most (default: 32)')
    parser.add_argument('--crf', type=int, default=18, help='quality, 0 (lossless) to 51 (default: 18)')
    parser.add_argument('--workers', type=int, default=num_cores(), help='videos at a time (default: one a CPU)')
    add_limits(parser)


def check(args: argparse.Namespace) -> None:
    """Check that the options have a meaning, and the paths.

    Raises:
        OSError: If something does not exist, or cannot be written.
        ValueError: If an option has no meaning here.
    """
    for name, (low, high) in LIMITS.items():
        if not low <= (value := getattr(args, name)) <= high:
            raise ValueError(f'--{name.replace("_", "-")} is {value}, expected a number from {low} to {high}')
    args.limits = limits_of(args.limits)
    check_source(args.source)
    if args.source.is_dir() and args.root:
        raise ValueError(f'--root is for lists, and {args.source} is a folder; leave --root out')
    check_root_of_list(args.root)
    source, out = args.source.resolve(), args.out.resolve()
    if source.is_relative_to(out) or out.is_relative_to(source):
        raise ValueError(f'{args.out} and {args.source} lie in each other; give a folder to write to beside the source')
    check_folder(args.out, 'OUT')


def run(args: argparse.Namespace) -> int:
    """Rewrite the videos; return 1 if one is broken."""
    from mmtsf.preparation.transcode import write_transcoded

    return write_transcoded(args)
