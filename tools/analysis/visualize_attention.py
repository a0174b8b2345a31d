#!/usr/bin/env python
"""Draw what a model looks at in the middle of a video, its attention rolled out over all blocks:

python tools/analysis/visualize_attention.py VIDEO CONFIG CHECKPOINT OUT.png
"""

import argparse
from pathlib import Path

import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.structures import LabelData

from mmtsf.config import load_config
from mmtsf.registry import MODELS
from mmtsf.visualization import draw_attention, rollout
from mmtsf.weights import fit, read_checkpoint, translate


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('video', help='video file or folder of frames')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('out', type=Path, help='image file to write')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    init_default_scope('mmtsf')
    config = load_config(args.config)
    model = MODELS.build(config.model).eval()
    checkpoint = read_checkpoint(args.checkpoint)
    fit(translate(checkpoint), model, may_start_fresh=False)

    sample = Compose(config.val_dataloader.dataset.pipeline)(dict(filename=args.video, modality='RGB', label=-1))
    frames = sample['inputs'][0].permute(1, 2, 3, 0).numpy()  # (T, H, W, 3)
    data = model.data_preprocessor(pseudo_collate([sample]))
    weights = rollout(model.backbone, data['inputs'][0])
    with torch.no_grad():
        scores: LabelData = model(**data, mode='predict')[0].pred_scores
    best = int(scores.item.argmax())
    classes = checkpoint.get('meta', {}).get('dataset_meta', {}).get('classes') or range(len(scores.item))
    draw_attention(frames, weights.numpy(), f'{classes[best]} ({scores.item[best]:.0%})', args.out)
    print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
