"""Test a model: mmtsf test configs/timesformer_base_k400.py CHECKPOINT"""

import argparse
from pathlib import Path

from mmtsf.utils.arguments import add_model, add_run_arguments, check_model, check_run
from mmtsf.utils.files import check_folder
from mmtsf.utils.imports import for_prediction


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_model(parser)
    parser.add_argument('--dump', metavar='FILE.pkl', help='write all predictions to this file')
    add_run_arguments(parser)


def check(args: argparse.Namespace) -> None:
    """Check paths, and that the options fit together.

    Raises:
        OSError: If something does not exist, or cannot be written.
        ValueError: If an option has no meaning here.
    """
    if args.dump and not args.dump.endswith(('.pkl', '.pickle')):
        raise ValueError(f'--dump is {args.dump}, expected a name that ends in .pkl')
    check_model(args)
    check_run(args)
    if args.dump:
        check_folder(Path(args.dump).parent, "--dump's folder")


def run(args: argparse.Namespace) -> None:
    """Test the model."""
    if args.check:
        return
    with for_prediction():
        from mmengine.dist import is_main_process

        from mmtsf.engine.runs import say_next, test

    config = test(args)
    if is_main_process():
        say_next('report', config, args.checkpoint)
