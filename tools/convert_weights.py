#!/usr/bin/env python
"""Convert weights between formats, and report how every key was used:

python tools/convert_weights.py TimeSformer_divST_8x32_224_K400.pyth timesformer.safetensors
python tools/convert_weights.py vit.npz start.pth --config configs/timesformer_hr_k600.py
python tools/convert_weights.py work_dirs/mine/epoch_15.pth mine_hf --to huggingface
"""

import argparse
from pathlib import Path

from mmtsf.utils.arguments import mistakes_of, names_in, new_parser
from mmtsf.utils.files import check_folder, check_target
from mmtsf.utils.sources import config_path, find_checkpoint

#: Names of mmtsf.weights.origins.ORIGINS, and other words of mmtsf.weights
ORIGINS = ('released', 'huggingface', 'mmaction2', 'timm', 'jax', 'mmpretrain', 'lucidrains')
FORMATS = ('mmtsf', 'released', 'huggingface')
RESIZES = ('smooth', 'nearest', 'released')
ADDED_STEPS = ('image', 'own')


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    parser.add_argument('source', help='file, Hugging Face folder, URL or published name')
    parser.add_argument(
        'target', type=Path, help='file to write: .pth, .pyth or .safetensors; a folder for huggingface'
    )
    parser.add_argument(
        '--from',
        dest='origin',
        metavar=f'{{{",".join(["mmtsf", *ORIGINS])}}}',
        help='origin, also one that --config imports (default: recognised)',
    )
    parser.add_argument('--to', choices=FORMATS, default='mmtsf', help='format to write (default: mmtsf)')
    parser.add_argument('--config', help='fit the weights to the model of this config (default: the one they tell)')
    parser.add_argument(
        '--num-heads', type=int, help='attention heads, which few files tell (default: 64 channels each)'
    )
    parser.add_argument('--allow', nargs='+', default=[], metavar='KEY', help='keys that may be left out (patterns)')
    parser.add_argument('--resize', choices=RESIZES, default='smooth', help='how position tables are resized')
    parser.add_argument(
        '--added-steps', choices=ADDED_STEPS, default='image', help='start of steps an image model lacks'
    )
    args = parser.parse_args()
    with mistakes_of(parser):
        check(args)
    return args


def check(args: argparse.Namespace) -> None:
    """Check paths and options."""
    if args.config and args.num_heads is not None:
        raise ValueError('--num-heads is for a model that the file tells; leave it out, or --config')
    origins = ['mmtsf', *names_in('mmtsf.weights.origins', 'ORIGINS', ORIGINS)]
    if args.origin not in (None, *origins) and not args.config:
        raise ValueError(f'--from is {args.origin!r}, expected one of {origins}, or --config with one that imports it')
    source = find_checkpoint(args.source)
    if args.config:
        config_path(args.config)
    if args.to == 'huggingface':
        check_folder(args.target, 'the target')
    else:
        check_target(args.target, 'the target', [source] if isinstance(source, Path) else [])


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

from mmengine.registry import init_default_scope

from mmtsf.config import load_config
from mmtsf.registry import MODELS
from mmtsf.utils.text import without_secrets
from mmtsf.weights import backbone_config, build, classes_of, head_config, load_weights, read_checkpoint, translate
from mmtsf.weights.load import HEAD
from mmtsf.weights.write import write


def main() -> None:
    args = parse_args()
    init_default_scope('mmtsf')
    config = load_config(args.config).model if args.config else None  # which may import an origin
    checkpoint = read_checkpoint(args.source)
    weights = translate(checkpoint, args.origin, tuple(args.allow))
    if config:
        config.backbone.init_cfg = None  # the weights are the start
        backbone, model = config.backbone.to_dict(), MODELS.build(config)
        model.init_weights()
    else:
        backbone, model = backbone_config(weights, args.num_heads), build(weights, args.num_heads)
    report = load_weights(weights, model, bool(args.config), args.added_steps, args.resize)
    head = head_config(weights)
    keeps_head = head and not any(key.startswith(HEAD) for key in report.fresh)
    meta = dict(backbone=backbone, classes=classes_of(checkpoint, head['num_classes']) if head and keeps_head else None)
    print(f'{without_secrets(args.source)}: {weights.origin} ({backbone["attention"]["type"]}), {report}')
    for path in write(model.state_dict(), meta, args.target, args.to):
        print(f'wrote {path}')


if __name__ == '__main__':
    main()
