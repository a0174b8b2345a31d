"""Write features of videos to one file:

mmtsf features LIST CONFIG CHECKPOINT features.npy --level video
mmtsf features LIST CONFIG CHECKPOINT features.parquet --engine ray

LIST is an annotation list, a folder or a video. A .npy file holds the videos in their order, with their names in
NAME.txt beside it; .safetensors and .parquet hold them by name. The same command goes on where it was interrupted;
videos that cannot be read are left out and listed in NAME.broken.txt, and make the exit code 1. With --engine ray all
GPUs and machines of a cluster take part, and OUT is a folder of Parquet files, where such videos have a row with their
error.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

from mmtsf.utils.arguments import (
    add_device,
    add_engine,
    add_model,
    add_options,
    check_alone,
    check_engine,
    check_exists,
    check_model,
    check_not_empty,
    check_root_of_list,
    place,
)
from mmtsf.utils.files import check_target
from mmtsf.utils.imports import for_prediction
from mmtsf.utils.sources import check_list

FORMATS = ('.npy', '.safetensors', '.parquet')
#: Those of mmtsf.apis.features
LEVELS = ('video', 'clip', 'frame', 'tokens')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('list', type=place, help='annotation list, folder of videos, or video')
    add_model(parser)
    parser.add_argument('out', type=place, help=f'file to write, here or at an address: {" ".join(FORMATS)}')
    parser.add_argument('--level', choices=LEVELS, default='video', help='what a feature is of (default: video)')
    parser.add_argument('--root', type=place, help="folder of a list's videos (default: that of the list)")
    parser.add_argument('--allow-outside', action='store_true', help='let paths of a list lead out of that folder')
    add_engine(parser, '300')
    add_device(parser)
    add_options(parser)


def check(args: argparse.Namespace) -> None:
    """Check that the options fit together, inputs exist and outputs can be written.

    Raises:
        OSError: If something does not exist, or cannot be written.
        ValueError: If a word has no meaning here.
    """
    if args.out.suffix not in FORMATS:
        raise ValueError(f'OUT is {args.out}, expected a name that ends in {" or ".join(FORMATS)}')
    if args.out.suffix == '.parquet' and find_spec('pyarrow') is None:
        raise ValueError(f'OUT is {args.out}, which needs pyarrow, and it is not installed; pip install pyarrow')
    check_engine(args)
    check_alone()
    if args.engine == 'ray' and args.out.suffix != '.parquet':
        raise ValueError(
            f'OUT is {args.out}, and --engine ray writes a folder of Parquet files; end its name in .parquet'
        )
    check_list(str(args.list))
    check_exists(args.list, 'an annotation list, a folder of videos or a video')
    check_not_empty(args.list)
    check_root_of_list(args.root)
    read = [args.list, *(Path(named) for named in (args.config, args.checkpoint) if named)]
    is_folder = args.engine == 'ray'
    check_target(args.out, 'OUT', read, is_folder)
    for suffix in ('.broken.txt', '.txt')[: 2 if args.out.suffix == '.npy' else 1]:
        check_target(args.out.with_suffix(suffix), 'the file beside OUT', read)
    if not is_folder:
        parts = f'{args.out.name}.parts'  # of an address, in this folder
        args.parts = args.out.with_name(parts) if isinstance(args.out, Path) else Path(parts)
        check_target(args.parts, 'the folder beside OUT', is_folder=True)
    check_model(args)


def run(args: argparse.Namespace) -> int:
    """Write the features; return 1 if a video cannot be read."""
    with for_prediction():
        from mmtsf.apis.feature_files import write_features
    return write_features(args)
