#!/usr/bin/env python
"""Count parameters and multiply-accumulates of one view: python tools/analysis/get_flops.py CONFIG

The paper's "FLOPs" are multiply-accumulates. Nothing is allocated: the model runs on PyTorch's meta device.
"""

import argparse
import json
import logging
from collections import Counter

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
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmtsf.config import load_config
from mmtsf.registry import MODELS


def part_of(name: str) -> str:
    """Return the part of the model that a module belongs to, such as ``attention.time``."""
    words = name.split('.')
    if 'steps' in words:
        return f'attention.{words[words.index("steps") + 1]}'
    return (
        'mlp'
        if 'mlp' in words
        else 'embedding'
        if {'embedding', 'ClipEmbedding'} & set(words)
        else 'head'
        if {'cls_head', 'TimeSformerHead'} & set(words)
        else 'norm'
    )


def count_parameters(model: nn.Module) -> Counter[str]:
    """Count the parameters of every part."""
    parts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        parts[part_of(name)] += parameter.numel()
    return parts


def count_macs(model: nn.Module, config: Config) -> Counter[str]:
    """Count the multiply-accumulates of every part for one view."""
    backbone = config.model.backbone
    height, width = (backbone.img_size,) * 2 if isinstance(backbone.img_size, int) else backbone.img_size
    clip = torch.empty(1, 3, backbone.num_frames, height, width, device='meta')
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        tokens = model.backbone.encode(clip)[0]  # all of the last block, too
        model.cls_head(model.backbone.norm(tokens[:1, 0]))
    counted: Counter[str] = Counter()
    for name, flops in counter.get_flop_counts().items():
        words = name.split('.')
        if words[-1] in ('ClipEmbedding', 'mlp', 'TimeSformerHead') or words[-2:-1] == ['steps']:
            counted[part_of(name)] += sum(flops.values()) // 2
    assert sum(counted.values()) == counter.get_total_flops() // 2, 'a part of the model is not counted'
    return counted


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
