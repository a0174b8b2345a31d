#!/usr/bin/env python
"""Export a model and compare its outputs with the original's:

python tools/export.py CONFIG CHECKPOINT model.onnx --dynamic
python tools/export.py CONFIG CHECKPOINT model.onnx --int8 --cfg-options data.root=/videos
"""

import argparse
import itertools
import tempfile
from pathlib import Path

from mmtsf.utils.arguments import add_model, add_options, check_model, mistakes_of, new_parser, parsed
from mmtsf.utils.files import check_folder


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add_model(parser)
    parser.add_argument('out', type=Path, help='file to write: .onnx, or .pt2 for torch')
    parser.add_argument('--format', choices=['onnx', 'torch'], default='onnx', help='ONNX (default) or torch.export')
    parser.add_argument(
        '--dynamic', action='store_true', help='leave frames, height and width open; the batch always is'
    )
    parser.add_argument('--normalise', action='store_true', help='take uint8 frames and normalise inside the model')
    parser.add_argument(
        '--int8', action='store_true', help="quantise, and compare on clips of the config's validation set"
    )
    add_options(parser)
    args = parser.parse_args()
    with mistakes_of(parser):
        if args.int8 and args.format != 'onnx':
            raise ValueError('--int8 is for ONNX; leave --format torch out')
        check_model(args)
        check_folder(args.out.parent, "OUT's folder")
    return args


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

import torch

from mmtsf.apis import init_recognizer
from mmtsf.deploy.export import (
    ClipClassifier,
    OnnxClassifier,
    compare,
    export_onnx,
    export_torch,
    exported,
    largest_difference,
    quantize,
)
from mmtsf.registry import DATASETS

TOLERANCE = 1e-4
MOST_CLIPS = 100


def main() -> None:
    args = parse_args()
    recognizer = init_recognizer(args.config, args.checkpoint, 'cpu', parsed(args.cfg_options))
    config = recognizer.cfg
    model = ClipClassifier(recognizer, args.normalise).eval()
    examples = make_examples(model, config.model.backbone, args.dynamic)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out.parent) as folder:
        part = Path(folder, args.out.name)
        export = export_onnx if args.format == 'onnx' else export_torch
        export(model, examples[0], part, args.dynamic)
        difference = largest_difference(model, exported(part, args.format), examples)
        sizes = ', '.join('x'.join(map(str, clips.shape)) for clips in examples)
        print(f'largest difference of logits {difference:.1e} on clips {sizes}')
        if not difference <= TOLERANCE:
            raise RuntimeError(
                f'the export differs by {difference:.1e}, more than {TOLERANCE:.0e}; nothing was written'
            )
        if args.int8:
            part = make_int8(model, part, config)
        for file in part.parent.glob(f'{part.name}*'):  # weights of a large model lie in a second file
            file.replace(args.out.with_name(file.name.replace(part.name, args.out.name)))
    print(f'wrote {args.out}')


def make_examples(model: ClipClassifier, backbone: dict, dynamic: bool) -> list[torch.Tensor]:
    """Make clips of the model's own size, of another batch, and with ``dynamic`` of other frames and sizes."""
    size, patch = backbone['img_size'], backbone['patch_size']
    height, width = (size, size) if isinstance(size, int) else size
    frames = backbone['num_frames']
    examples = [model.example(2, frames, height, width), model.example(3, frames, height, width)]
    if dynamic:
        examples.append(model.example(1, 2 * frames, height + 2 * patch, width))
    return examples


def make_int8(model: ClipClassifier, path: Path, config) -> Path:
    """Quantise to int8, and print agreement and speed on real clips."""
    target = path.with_name(f'int8-{path.name}')
    quantize(path, target)
    dataset = DATASETS.build(config.val_dataloader.dataset)
    step = max(len(dataset) // MOST_CLIPS, 1)
    samples = [dataset[index]['inputs'] for index in range(0, len(dataset), step)]
    clips = [view.byte() if model.normalises else (view.float() - model.mean) / model.std for view in samples]
    batches = [torch.cat(part) for part in _chunks(clips, 4)]
    agreement, faster = compare(OnnxClassifier(path), OnnxClassifier(target), batches)
    print(f'int8: the same top-1 on {agreement:.1%} of {len(clips)} real clips, {faster:.2f} times as fast as fp32')
    return target


def _chunks(items: list, size: int) -> list[list]:
    iterator = iter(items)
    return list(iter(lambda: list(itertools.islice(iterator, size)), []))


if __name__ == '__main__':
    main()
