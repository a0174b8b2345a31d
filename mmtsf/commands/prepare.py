"""Write annotation lists from a data set's official annotations and the videos on disk:

mmtsf prepare kinetics400 --videos VIDEOS --annotations train.csv val.csv --out data/kinetics400
mmtsf prepare ssv2 --videos VIDEOS --annotations labels.json train.json validation.json --out data/sthv2

Writes train_list.txt, val_list.txt, test_list.txt, classes.txt, what is missing, broken or belongs to no clip, and a
report. The same command goes on where it was interrupted. docs/datasets/ has a page for each data set.
"""

import argparse

from mmtsf.utils.arguments import add_check_arguments, check_engine, limits_of, place
from mmtsf.utils.files import check_folder

#: Those of mmtsf.preparation.FORMATS
DATASETS = ('kinetics400', 'kinetics600', 'ssv2', 'diving48', 'howto100m')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('dataset', choices=DATASETS)
    parser.add_argument('--videos', type=place, required=True, help='folder of the videos, in folders or not')
    parser.add_argument('--annotations', type=place, required=True, nargs='+', help='official files, in any order')
    parser.add_argument('--out', type=place, required=True, help='folder to write to, here or at an address')
    parser.add_argument('--no-check', action='store_true', help='take every file for whole')
    add_check_arguments(parser)


def check(args: argparse.Namespace) -> None:
    """Check that the options have a meaning, and the paths.

    Raises:
        OSError: If something does not exist, or cannot be written.
        ValueError: If an option has no meaning here.
    """
    check_engine(args)
    args.limits = limits_of(args.limits)
    if not args.videos.is_dir():
        raise NotADirectoryError(f'{args.videos} is no folder; give the one that holds the videos')
    for file in args.annotations:
        if not file.is_file():
            raise FileNotFoundError(f'{file} is no file; give the annotation files of the data set')
    check_folder(args.out, '--out')


def run(args: argparse.Namespace) -> None:
    """Write the lists and the report."""
    from mmtsf.preparation.write_lists import prepare

    prepare(args)
