#!/usr/bin/env python
"""Count parameters and multiply-accumulates of one view: python tools/analysis/get_flops.py CONFIG

The paper's "FLOPs" are multiply-accumulates. Nothing is allocated: the model runs on PyTorch's meta device.
"""

import argparse
import json
import logging

from mmtsf.utils.arguments import add_config, add_options, mistakes_of, new_parser, parsed
from mmtsf.utils.sources import config_path


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add_config(parser)
    parser.add_argument('--json', action='store_true', help='print one line of JSON instead of the table')
    add_options(parser)
    args = parser.parse_args()
    with mistakes_of(parser):
        config_path(args.config)
    return args


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

import torch
from mmengine.registry import init_default_scope

from mmtsf.config import load_config
from mmtsf.evaluation.model_costs import count_macs, count_parameters
from mmtsf.registry import MODELS


def main() -> None:
    args = parse_args()
    logging.disable(logging.WARNING)
    init_default_scope('mmtsf')
    config = load_config(args.config, parsed(args.cfg_options))
    with torch.device('meta'):
        model = MODELS.build(config.model).eval()
    params, macs = count_parameters(model), count_macs(model, config)
    if args.json:
        print(json.dumps(dict(config=args.config, params=params.total(), macs=macs.total())))
        return
    print(f'{"part":20}{"parameters":>16}{"multiply-accumulates":>26}')
    for part in params:
        print(f'{part:20}{params[part]:16,}{macs[part] / 1e9:24.2f} G')
    print(f'{"total":20}{params.total():16,}{macs.total() / 1e9:24.2f} G')


if __name__ == '__main__':
    main()
