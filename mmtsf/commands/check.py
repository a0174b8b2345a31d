"""Find the videos that cannot be read, before training:

mmtsf check LIST --root VIDEOS
mmtsf check VIDEOS --full

Writes a list of the good ones, and bad.txt with paths and reasons. The same command goes on where it was interrupted.
"""

import argparse
from pathlib import Path

from mmtsf.utils.arguments import add_check_arguments, check_engine, check_root_of_list, check_source, limits_of, place
from mmtsf.utils.files import check_folder
from mmtsf.utils.imports import for_prediction
from mmtsf.utils.locations import is_address


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('source', type=place, help='folder of videos, or annotation list ("path label" lines or csv)')
    parser.add_argument('--root', type=place, help="folder of a list's videos (default: that of the list)")
    words = 'folder to write to, here or at an address (default: SOURCE.checked; of an address here)'
    parser.add_argument('--out', type=place, help=words)
    parser.add_argument('--allow-outside', action='store_true', help='let paths of a list lead out of that folder')
    add_check_arguments(parser)


def check(args: argparse.Namespace) -> None:
    """Check that the options fit together, and the paths.

    Raises:
        OSError: If something does not exist, or cannot be written.
        ValueError: If an option has no meaning here.
    """
    check_engine(args)
    args.limits = limits_of(args.limits)
    check_source(args.source)
    if args.source.is_dir() and (args.root or args.allow_outside):
        raise ValueError(f'--root and --allow-outside are for lists, and {args.source} is a folder; leave them out')
    check_root_of_list(args.root)
    name = f'{args.source.name}.checked'
    args.out = args.out or (Path(name) if is_address(args.source) else args.source.with_name(name))
    check_folder(args.out, '--out')


def run(args: argparse.Namespace) -> int:
    """Check the videos; return 1 if one is bad."""
    with for_prediction():
        from mmtsf.preparation.check_videos import write_checked
    return write_checked(args)
