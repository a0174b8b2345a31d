"""Export a model and compare its outputs with the original's:

mmtsf export CONFIG CHECKPOINT model.onnx --dynamic
mmtsf export CONFIG CHECKPOINT model.onnx --int8 --cfg-options data.root=/videos
"""

import argparse

from mmtsf.utils.arguments import add_model, add_options, check_model, parsed, place
from mmtsf.utils.files import check_folder, folder_there
from mmtsf.utils.imports import for_prediction

SUFFIXES = dict(onnx='.onnx', torch='.pt2')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_model(parser)
    parser.add_argument('out', type=place, help='file to write, here or at an address: .onnx, or .pt2 for torch')
    parser.add_argument('--format', choices=['onnx', 'torch'], default='onnx', help='ONNX (default) or torch.export')
    parser.add_argument(
        '--dynamic', action='store_true', help='leave frames, height and width open; the batch always is'
    )
    parser.add_argument('--normalise', action='store_true', help='take uint8 frames and normalise inside the model')
    parser.add_argument(
        '--int8', action='store_true', help="quantise, and compare on clips of the config's validation set"
    )
    add_options(parser)


def check(args: argparse.Namespace) -> None:
    """Check paths, and that the options fit together.

    Raises:
        OSError: If something does not exist, or cannot be written.
        ValueError: If an option has no meaning here.
    """
    if args.int8 and args.format != 'onnx':
        raise ValueError('--int8 is for ONNX; leave --format torch out')
    if args.out.suffix != (suffix := SUFFIXES[args.format]):
        other = ', or --format torch for .pt2' if args.format == 'onnx' else ''
        raise ValueError(f'OUT is {args.out}, expected a name that ends in {suffix}{other}')
    check_model(args)
    check_folder(args.out.parent, "OUT's folder")


def run(args: argparse.Namespace) -> None:
    """Write the file, and say how far its outputs are from the model's."""
    with for_prediction():
        from mmtsf.apis import init_recognizer
        from mmtsf.deploy.export import write_export

    recognizer = init_recognizer(args.config, args.checkpoint, 'cpu', parsed(args.cfg_options))
    with folder_there(args.out.parent) as folder:
        out = folder / args.out.name
        for line in write_export(recognizer, out, args.format, args.dynamic, args.normalise, args.int8):
            print(line, flush=True)
    print(f'wrote {args.out}')
