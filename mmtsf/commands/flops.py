"""Count parameters and multiply-accumulates of one view: mmtsf flops CONFIG

The paper's "FLOPs" are multiply-accumulates. Nothing is allocated: the model runs on PyTorch's meta device.
"""

import argparse
import json
import logging

from mmtsf.utils.arguments import add_config, add_options, parsed
from mmtsf.utils.imports import for_prediction
from mmtsf.utils.sources import config_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_config(parser)
    parser.add_argument('--json', action='store_true', help='print one line of JSON instead of the table')
    add_options(parser)


def check(args: argparse.Namespace) -> None:
    """Check that the config exists."""
    config_path(args.config)


def run(args: argparse.Namespace) -> None:
    """Print the table, or the line of JSON."""
    with for_prediction():
        from mmtsf.evaluation.model_costs import costs_of

    logging.disable(logging.WARNING)
    params, macs = costs_of(args.config, parsed(args.cfg_options))
    if args.json:
        print(json.dumps(dict(config=args.config, params=params.total(), macs=macs.total())))
        return
    print(f'{"part":20}{"parameters":>16}{"multiply-accumulates":>26}')
    for part in params:
        print(f'{part:20}{params[part]:16,}{macs[part] / 1e9:24.2f} G')
    print(f'{"total":20}{params.total():16,}{macs.total() / 1e9:24.2f} G')
