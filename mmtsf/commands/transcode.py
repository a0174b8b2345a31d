"""Rewrite videos for fast random access in training: small H.264 files with many key frames:

mmtsf transcode SOURCE OUT
mmtsf transcode LIST OUT --root SOURCE --short-side 256
mmtsf transcode SOURCE OUT --shards

Frames keep their number and order. With --shards, OUT holds WebDataset shards, tar files of many videos, and an index
of them, which is written last; --copy packs videos as they are. The same command goes on where it was interrupted, and
without --shards does anew what has changed since, as make does. Paths of a list must lie in its folder, or in --root:
OUT has the same ones, so there is no --allow-outside.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

from mmtsf.utils.arguments import (
    add_engine,
    add_limits,
    check_engine,
    check_exists,
    check_root_of_list,
    check_source,
    limits_of,
    place,
)
from mmtsf.utils.data_root import shard_folders
from mmtsf.utils.files import check_folder
from mmtsf.utils.imports import for_prediction

LIMITS = dict(short_side=(16, 4096), keyframe_distance=(1, 1000), crf=(0, 51), shards=(1, 1_000_000))
#: Of the encoding
DEFAULTS = dict(short_side=320, keyframe_distance=32, crf=18)
#: Videos a shard: of ten seconds and short side 320, 250 MB
VIDEOS = 250


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('source', type=place, help='folder of videos, or annotation list ("path label" lines or csv)')
    parser.add_argument('out', type=place, help='folder to write to, here or at an address')
    parser.add_argument('--root', type=place, help="folder of a list's videos (default: that of the list)")
    parser.add_argument('--short-side', type=int, help='pixels; never enlarged (default: 320)')
    parser.add_argument('--keyframe-distance', type=int, help='frames, at most (default: 32)')
    parser.add_argument('--crf', type=int, help='quality, 0 (lossless) to 51 (default: 18)')
    words = f'write tar files of so many videos, at most, and an index (default: {VIDEOS})'
    parser.add_argument('--shards', type=int, nargs='?', const=VIDEOS, metavar='VIDEOS', help=words)
    parser.add_argument('--copy', action='store_true', help='pack videos into the shards as they are')
    parser.add_argument('--classes', type=Path, help="class names of a list's labels in their order, one a line")
    add_limits(parser)
    add_engine(parser, '3600')


def check(args: argparse.Namespace) -> None:
    """Check that the options have a meaning, and the paths.

    Raises:
        OSError: If something does not exist, or cannot be written.
        ValueError: If an option has no meaning here.
    """
    _check_shards(args)
    for name, default in DEFAULTS.items():
        setattr(args, name, default if getattr(args, name) is None else getattr(args, name))
    for name, (low, high) in LIMITS.items():
        if (value := getattr(args, name)) is not None and not low <= value <= high:
            raise ValueError(f'--{name.replace("_", "-")} is {value}, expected a number from {low} to {high}')
    check_engine(args)
    args.limits = limits_of(args.limits)
    check_source(args.source)
    if shard_folders(args.source):
        raise ValueError(f'{args.source} holds shards; give the videos that they were made of')
    if args.source.is_dir() and args.root:
        raise ValueError(f'--root is for lists, and {args.source} is a folder; leave --root out')
    check_root_of_list(args.root)
    source, out = (str(path.resolve()).rstrip('/') + '/' for path in (args.source, args.out))
    if source.startswith(out) or out.startswith(source):
        raise ValueError(f'{args.out} and {args.source} lie in each other; give a folder to write to beside the source')
    check_folder(args.out, 'OUT')


def _check_shards(args: argparse.Namespace) -> None:
    """Check that options of shards have a meaning.

    Raises:
        FileNotFoundError: If there is no file of class names.
        ValueError: If an option has no meaning, or a package is missing.
    """
    for name in ('copy', 'classes'):
        if getattr(args, name) and args.shards is None:
            raise ValueError(f'--{name} is for shards; give --shards, or leave --{name} out')
    if args.copy and (given := [name for name in DEFAULTS if getattr(args, name) is not None]):
        raise ValueError(f'--copy encodes nothing, and has no use for --{given[0].replace("_", "-")}; leave one out')
    if args.classes and args.source.is_dir():
        raise ValueError(f'--classes is for lists, and {args.source} is a folder; leave --classes out')
    if args.classes:
        check_exists(args.classes, 'a file with one class name a line')
    if args.shards is not None and find_spec('webdataset') is None:
        raise ValueError("--shards needs the package webdataset, and it is not installed; pip install 'mmtsf[shards]'")


def run(args: argparse.Namespace) -> int:
    """Rewrite the videos; return 1 if one is broken."""
    with for_prediction():
        if args.shards is not None:
            from mmtsf.preparation.shards import write_shards as write
        else:
            from mmtsf.preparation.transcode import write_transcoded as write
    return write(args)
