"""Train and test small models on images and clips that are held in memory."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch import Tensor

from mmtsf.config import load_config
from mmtsf.registry import DATASETS, MODELS

#: Inputs ``(N, 3, T, H, W)`` of uint8 and their labels
Samples = tuple[Tensor, Tensor]
CONFIG = Path(__file__).parents[2] / 'configs/timesformer_tiny_motion.py'
#: Frames of a clip, pixels of a frame, and pixels that a crop may move by in training
FRAMES, SIZE, MARGIN = 4, 32, 4
BATCH, LAYERS = 32, 3


def read_images(folder: Path, part: str) -> Samples:
    """Read a part of Fashion-MNIST, ``'train'`` or ``'t10k'``, as clips of one frame, padded with black."""
    pixels = _numbers(folder / f'{part}-images-idx3-ubyte.gz', 16).view(-1, 1, 1, 28, 28)
    pad = (SIZE + MARGIN - 28) // 2
    labels = _numbers(folder / f'{part}-labels-idx1-ubyte.gz', 8).long()
    return F.pad(pixels, (pad, pad, pad, pad)).expand(-1, 3, -1, -1, -1), labels


def _numbers(file: Path, header: int) -> Tensor:
    """Read the numbers of an IDX file behind its header."""
    return torch.from_numpy(np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8, offset=header).copy())


def read_clips(lists: tuple[Path, Path]) -> list[Samples]:
    """Decode the videos of annotation lists: frames spread over all of each, with a margin for crops."""
    options = {'clip.size': SIZE + MARGIN, 'data.source': 'list', 'data.sampling': 'segments', 'view': '1x1'}
    options['model.backbone.patch_size'] = MARGIN  # of no model here, but frames of a config must divide into patches
    options['data.num_classes'] = 1 + max(int(line.split()[-1]) for line in lists[0].read_text().splitlines() if line)
    parts = []
    for file in lists:
        dataset = _config(
            **options, **{'data.root': str(file.parent), 'data.val_list': file.name}
        ).val_dataloader.dataset
        samples = list(DATASETS.build(dataset))
        labels = torch.tensor([int(sample['data_samples'].gt_labels.item) for sample in samples])
        parts.append((torch.cat([sample['inputs'] for sample in samples]), labels))
    return parts


def _config(**options: Any) -> Any:
    init_default_scope('mmtsf')
    return load_config(CONFIG, {'clip.num_frames': FRAMES, **options})


def build(scheme: str, frames: int, classes: int, start: Path | None, frozen: bool | str = False) -> Any:
    """Build a model of clips, or with one frame of images, with the weights that it starts from; ``frozen`` as in
    recipes."""
    MMLogger.get_current_instance().setLevel('WARNING')  # it lists how every weight begins
    options = {'model.backbone.attention.type': scheme, 'start': start and str(start), 'training.frozen': frozen}
    sizes = {'clip.num_frames': frames, 'clip.size': SIZE, 'data.num_classes': classes}
    sizes |= {'model.backbone.num_layers': LAYERS, 'compiled': False}
    model = MODELS.build(_config(**options, **sizes).model)
    model.init_weights()
    return model


def fit(model: Any, inputs: Tensor, labels: Tensor, epochs: int, rate: float) -> None:
    """Train as the config's schedule does: AdamW, one cycle of the learning rate, random crops."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, rate, weight_decay=0.05, fused=True)
    batches = -(-len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * batches)
    model.train()
    for chosen in (part for _ in range(epochs) for part in torch.randperm(len(inputs)).split(BATCH)):
        top, left = torch.randint(MARGIN + 1, (2,)).tolist()
        loss = F.cross_entropy(scores(model, inputs[chosen], top, left), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()


@torch.no_grad()
def accuracy(model: Any, inputs: Tensor, labels: Tensor) -> float:
    """Measure the top-1 accuracy on crops from the middle."""
    model.eval()
    middle = MARGIN // 2
    best = torch.cat([scores(model, part, middle, middle).argmax(1) for part in inputs.split(256)])
    return (best == labels).float().mean().item()


def scores(model: Any, inputs: Tensor, top: int, left: int) -> Tensor:
    """Score the crops of clips that begin at this pixel."""
    crops = inputs[..., top : top + SIZE, left : left + SIZE]
    pixels = model.data_preprocessor
    return model.cls_head(model.backbone((crops - pixels.mean) / pixels.std))
