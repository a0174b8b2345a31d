"""Write features of videos to one file:

mmtsf features LIST CONFIG CHECKPOINT features.npy --level video
python -m torch.distributed.run --nproc-per-node=2 tools/extract_features.py LIST CONFIG CHECKPOINT features.parquet

LIST is an annotation list, a folder or a video. A .npy file holds the videos in their order, with their names in
NAME.txt beside it; .safetensors and .parquet hold them by name. The same command goes on where it was interrupted;
videos that cannot be read are left out and listed in NAME.broken.txt, and make the exit code 1.
"""

import argparse
import os
from importlib.util import find_spec
from pathlib import Path

from mmtsf.utils.arguments import (
    add_device,
    add_model,
    add_options,
    check_exists,
    check_model,
    check_not_empty,
    check_root_of_list,
)
from mmtsf.utils.files import check_target
from mmtsf.utils.imports import for_prediction
from mmtsf.utils.sources import check_list, config_path

FORMATS = ('.npy', '.safetensors', '.parquet')
#: Those of mmtsf.apis.features
LEVELS = ('video', 'clip', 'frame', 'tokens')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('list', type=Path, help='annotation list, folder of videos, or video')
    add_model(parser)
    parser.add_argument('out', type=Path, help=f'file to write: {" ".join(FORMATS)}')
    parser.add_argument('--level', choices=LEVELS, default='video', help='what a feature is of (default: video)')
    parser.add_argument('--root', type=Path, help="folder of a list's videos (default: that of the list)")
    parser.add_argument('--allow-outside', action='store_true', help='let paths of a list lead out of that folder')
    parser.add_argument('--workers', type=int, default=2, help='decoding processes of each process (default: 2)')
    add_device(parser)
    add_options(parser)
    in_torchrun = 'pytorch' if 'LOCAL_WORLD_SIZE' in os.environ else 'none'
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default=in_torchrun, help=argparse.SUPPRESS)


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
    if args.workers < 0:
        raise ValueError(f'--workers is {args.workers}, expected at least 0')
    check_list(str(args.list))
    check_exists(args.list, 'an annotation list, a folder of videos or a video')
    check_not_empty(args.list)
    if args.device and args.launcher != 'none':
        raise ValueError(f'--device is {args.device}, but each of several processes has its own; leave it out')
    check_root_of_list(args.root)
    read = [args.list, *(Path(named) for named in (args.config, args.checkpoint) if named)]
    check_target(args.out, 'OUT', read)
    for suffix in ('.broken.txt', '.txt')[: 2 if args.out.suffix == '.npy' else 1]:
        check_target(args.out.with_suffix(suffix), 'the file beside OUT', read)
    args.parts = args.out.with_name(f'{args.out.name}.parts')
    check_target(args.parts, 'the folder beside OUT', is_folder=True)
    if args.launcher == 'none' or args.config is None:
        check_model(args)
    else:  # one process alone might find no checkpoint and leave, and the others would wait for it
        config_path(args.config)


def run(args: argparse.Namespace) -> int:
    """Write the features; return 1 if a video cannot be read."""
    with for_prediction():
        from mmtsf.apis.feature_files import write_features
    return write_features(args)
