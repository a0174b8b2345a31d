"""Convert weights between formats, and report how every key was used:

mmtsf convert TimeSformer_divST_8x32_224_K400.pyth timesformer.safetensors
mmtsf convert vit.npz start.pth --config configs/timesformer_hr_k600.py
mmtsf convert work_dirs/mine/epoch_15.pth mine_hf --to huggingface
mmtsf convert work_dirs/lora/epoch_30.pth adapters.safetensors --to adapters
"""

import argparse
from pathlib import Path

from mmtsf.utils.arguments import names_in, place
from mmtsf.utils.files import check_empty, check_folder, check_target, folder_there
from mmtsf.utils.imports import for_prediction
from mmtsf.utils.sources import config_path, find_checkpoint

#: Names of mmtsf.weights.origins.ORIGINS, and other words of mmtsf.weights
ORIGINS = (
    *('released', 'huggingface', 'mmaction2', 'lucidrains', 'videomae', 'timm', 'jax', 'mmpretrain', 'mae', 'deit3'),
    *('clip', 'dinov2', 'dinov3'),
)
FORMATS = ('mmtsf', 'released', 'huggingface', 'adapters')
RESIZES = ('smooth', 'nearest', 'released')
ADDED_STEPS = ('image', 'own')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('source', help='file, Hugging Face folder, URL or published name')
    parser.add_argument(
        'target',
        type=place,
        help='file to write, here or at an address: .pth, .pyth or .safetensors; a folder for huggingface',
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
    words = 'of a test, metrics.json in its work dir, for the card of a folder for Hugging Face'
    parser.add_argument('--metrics', metavar='FILE', help=words)
    words = 'what the card says else: name, dataset, license, base_model (OWNER/NAME), language'
    parser.add_argument('--card', nargs='+', default=[], metavar='KEY=VALUE', help=words)


def check_card(args: argparse.Namespace) -> None:
    """Check what is for a folder of Hugging Face alone.

    Raises:
        OSError: If the metrics do not exist, or the folder holds something.
        ValueError: If it is given with another format.
    """
    if args.to != 'huggingface':
        for name in ('metrics', 'card'):
            if getattr(args, name):
                raise ValueError(f'--{name} is for the card of a folder; give --to huggingface, or leave it out')
        return
    if args.metrics and not Path(args.metrics).is_file():
        raise FileNotFoundError(f'--metrics is {args.metrics}, which does not exist; mmtsf test writes metrics.json')
    check_folder(args.target, 'the target')
    check_empty(args.target)


def check(args: argparse.Namespace) -> None:
    """Check paths, and that the options fit together.

    Raises:
        OSError: If something does not exist, or cannot be written.
        ValueError: If an option has no meaning here.
    """
    if args.to == 'adapters' and args.config:
        raise ValueError(
            '--config is for a model that weights are brought to, and adapters stay as they are; leave it out'
        )
    if args.config and args.num_heads is not None:
        raise ValueError('--num-heads is for a model that the file tells; leave it out, or --config')
    origins = ['mmtsf', *names_in('mmtsf.weights.origins', 'ORIGINS', ORIGINS)]
    if args.origin not in (None, *origins) and not args.config:
        raise ValueError(f'--from is {args.origin!r}, expected one of {origins}, or --config with one that imports it')
    source = find_checkpoint(args.source)
    if args.config:
        config_path(args.config)
    check_card(args)
    if args.to != 'huggingface':
        check_target(args.target, 'the target', [source] if isinstance(source, Path) else [])


def run(args: argparse.Namespace) -> None:
    """Convert the weights, and say what became of them."""
    with for_prediction():
        from mmtsf.weights.convert import convert
        from mmtsf.weights.model_card import Card, read_metrics

    is_folder = args.to == 'huggingface'
    above = args.target if is_folder else args.target.parent
    with folder_there(above) as folder:
        words, files = convert(
            args.source,
            folder if is_folder else folder / args.target.name,
            args.to,
            args.origin,
            args.config,
            args.num_heads,
            args.allow,
            args.resize,
            args.added_steps,
            Card.parse(args.card),
            read_metrics(args.metrics) if args.metrics else None,
        )
    print(words)
    for file in files:
        print(f'wrote {above / file.name}')
